"""Figures of a review, against published examples and by hand; and what is said where there is no figure."""

import json

import pytest

from safe_llava.review import LoadedRatings, Rating, compute_agreement
from safe_llava.review.estimates import alpha, kappa, mean_estimate, share_estimate


# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), part C: four observers, twelve units.
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


@pytest.mark.parametrize(("level", "published"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_the_published_example(level, published):
    units = {
        unit: {str(who): values[unit] for who, values in enumerate(KRIPPENDORFF) if values[unit] is not None}
        for unit in range(12)
    }
    assert alpha(units, level)["value"] == pytest.approx(published, abs=5e-4)


def test_kappa_of_a_known_table():
    counts = {(1, 1): 20, (1, 0): 5, (0, 1): 10, (0, 0): 15}  # Observed agreement 0.7, by chance 0.5.
    pairs = [pair for pair, count in counts.items() for _ in range(count)]
    units = {unit: dict(zip("ab", pair, strict=True)) for unit, pair in enumerate(pairs)}
    assert kappa(units, "a", "b", (0, 1)) == {"value": pytest.approx(0.4), "n": 50}


def test_weighted_kappa_counts_a_near_miss_for_less():
    units = {unit: {"a": value, "b": min(value + 1, 10)} for unit, value in enumerate(range(11))}
    plain, linear, quadratic = (
        kappa(units, "a", "b", range(11), weights)["value"] for weights in (None, "linear", "quadratic")
    )
    assert plain < linear < quadratic


def test_a_share_has_its_wilson_interval():
    assert share_estimate(8, 10)["interval"] == pytest.approx([0.4902, 0.9433], abs=1e-4)


def test_the_bootstrap_interval_is_about_the_normal_one():
    values = [float(value % 11) for value in range(220)]  # Mean 5, standard error 10 ** 0.5 / 220 ** 0.5 = 0.2132.
    assert mean_estimate(values)["interval"] == pytest.approx([5 - 1.96 * 0.2132, 5 + 1.96 * 0.2132], abs=0.03)


def test_several_raters_of_a_sample_count_as_one(make_ratings):
    ratings = make_ratings(anna=[(8, 2), (5, 5)], ben=[(6, 4), (3, 9)], cleo=[(1, 9), None])
    overall = compute_agreement(ratings)["overall"]
    assert overall["systems"]["llava-alpha"]["mean_score"]["value"] == pytest.approx((5 + 4) / 2)
    (pair,) = overall["pairs"]
    assert (pair["first"], pair["second"]) == ("llava-alpha", "llava-beta")
    assert [(pair[name]["count"], pair[name]["num_ratings"]) for name in ("win", "tie", "lose")] == [
        (1, 2),  # Sample 0, by two to one.
        (0, 1),
        (1, 2),  # Sample 1, by one to none.
    ]
    assert pair["score_difference"]["value"] == pytest.approx((0 + -3) / 2)


def test_places_say_who_won_and_give_no_mean_score():
    ratings = [
        Rating("anna", "0", places={"a": 1, "b": 2, "c": 2}),
        Rating("anna", "1", places={"a": 3, "b": 2, "c": 1}),
    ]
    overall = compute_agreement(LoadedRatings(ratings))["overall"]
    wins = {
        (pair["first"], pair["second"]): [pair[name]["count"] for name in ("win", "tie", "lose")]
        for pair in overall["pairs"]
    }
    assert wins == {("a", "b"): [1, 0, 1], ("a", "c"): [1, 0, 1], ("b", "c"): [0, 1, 1]}
    assert overall["systems"]["a"]["mean_score"] == {"value": None, "n": 0, "reason": "no rating"}


def test_one_rater_has_nobody_to_agree_with(make_ratings):
    overall = compute_agreement(make_ratings(anna=[(8, 2), (5, 5)]))["overall"]
    assert overall["kappa"] == []
    assert overall["alpha"]["scores_ordinal"] == {"value": None, "n": 0, "reason": "there is one rater"}


def test_constant_ratings_have_no_agreement(make_ratings):
    overall = compute_agreement(make_ratings(anna=[(5, 5)] * 3, ben=[(5, 5)] * 3))["overall"]
    assert overall["alpha"]["scores_interval"]["reason"] == "all ratings have the same value"
    assert overall["kappa"][0]["scores"] == {"value": None, "n": 6, "reason": "both gave the same value everywhere"}
    mean = overall["systems"]["llava-alpha"]["mean_score"]
    assert (mean["value"], mean["interval"]) == (5, None) and "same value" in mean["reason"]


def test_raters_without_a_common_sample_have_no_kappa(make_ratings):
    overall = compute_agreement(make_ratings(anna=[(5, 4), None], ben=[None, (3, 4)]))["overall"]
    assert overall["kappa"][0]["scores"]["reason"] == "the two rated nothing in common"
    assert overall["alpha"]["scores_ordinal"]["reason"] == "nothing was rated by two raters"


def test_a_judge_is_compared_with_the_raters_mean(make_ratings):
    ratings = make_ratings(anna=[(8, 2), (5, 4), (9, 1)], ben=[(6, 2), (5, 4), (9, 3)])
    judges = make_ratings(judge=[(7.5, 2.5), (5.5, 4.5), (9.5, 2.5), (1, 1)])  # Every one half a point above the mean.
    results = compute_agreement(ratings, judges)
    judge = results["overall"]["judges"]["judge"]
    assert (judge["num_samples"], results["num_judged_but_not_rated"]) == (3, 1)
    assert judge["score_difference"]["value"] == pytest.approx(0.5)
    assert judge["spearman"]["value"] == pytest.approx(1)
    assert judge["pairs"][0]["same_preference"]["count"] == 3
    assert judge["kappa"][0]["scores"]["reason"] == "kappa needs whole numbers"


def test_a_judge_that_says_the_opposite_correlates_negatively(make_ratings):
    pairs = [(8, 2), (5, 4), (9, 1)]
    results = compute_agreement(make_ratings(anna=pairs), make_ratings(judge=[(10 - a, 10 - b) for a, b in pairs]))
    judge = results["overall"]["judges"]["judge"]
    assert [judge[name]["value"] for name in ("spearman", "kendall")] == pytest.approx([-1, -1])
    assert judge["pairs"][0]["same_preference"]["count"] == 0


def test_a_constant_judge_has_no_rank_correlation(make_ratings):
    results = compute_agreement(make_ratings(anna=[(8, 2), (5, 4)]), make_ratings(judge=[(5, 5), (5, 5)]))
    assert results["overall"]["judges"]["judge"]["kendall"]["reason"] == "the judge's ratings are all the same"


def test_figures_are_given_for_each_risk_type(make_ratings):
    ratings = make_ratings(("privacy", "safe", "privacy"), anna=[(8, 2), (5, 4), (9, 1)])
    groups = compute_agreement(ratings)["risk_types"]
    assert {name: group["num_samples"] for name, group in groups.items()} == {"privacy": 2, "safe": 1}
    assert groups["privacy"]["pairs"][0]["win"]["count"] == 2


def test_the_type_of_a_sample_is_the_known_one_or_else_the_majority():
    scores = {"a": 1, "b": 2}
    ratings = [
        Rating("anna", "0", scores, risk_type="safe", sample_risk_type="politics"),
        Rating("anna", "1", scores, risk_type="safe"),
        Rating("ben", "1", scores, risk_type="privacy"),
        Rating("cleo", "1", scores, risk_type="privacy"),
        Rating("anna", "2", scores, risk_type="safe"),
        Rating("ben", "2", scores, risk_type="privacy"),
        Rating("anna", "3", scores),
    ]
    groups = compute_agreement(LoadedRatings(ratings))["risk_types"]
    assert {name: group["num_samples"] for name, group in groups.items()} == {
        "politics": 1,
        "privacy": 1,
        "undecided": 2,
    }


def test_the_same_ratings_give_the_same_figures(make_ratings):
    first, again = (compute_agreement(make_ratings(anna=[(8, 2), (5, 4), (9, 1)])) for _ in range(2))
    assert json.dumps(first) == json.dumps(again)


def test_a_judge_with_the_name_of_a_rater_is_refused(make_ratings):
    with pytest.raises(ValueError, match="anna is both a rater and a judge"):
        compute_agreement(make_ratings(anna=[(8, 2)]), make_ratings(anna=[(8, 2)]))


def test_ratings_of_different_texts_are_refused():
    ratings = [Rating(name, "0", {"a": 1, "b": 2}, sample_digest=name) for name in ("anna", "ben")]
    with pytest.raises(ValueError, match="anna and ben rated sample '0' with different"):
        compute_agreement(LoadedRatings(ratings))


def test_no_rating_is_refused():
    with pytest.raises(ValueError, match="no rating"):
        compute_agreement(LoadedRatings())
