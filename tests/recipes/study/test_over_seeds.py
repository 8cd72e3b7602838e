import pytest

from recipes.study import over_seeds
from recipes.study.miniature_study import MINIATURE_STUDY


def summarize(runs: list[dict]) -> dict:
    return over_seeds.summarize(runs, MINIATURE_STUDY.safety, MINIATURE_STUDY.helpfulness)


def run_with(unsafe: float, harmless: float = 0.9, count: int = 200) -> dict:
    def metrics(**figures):
        return {**figures, "counts": dict.fromkeys(figures, count)}

    return {
        "seconds": 1.0,
        "ece": {"seen_level_after": 0.01},
        "evidence": None,
        "claims": {
            "risky": metrics(unsafe_answer_rate=unsafe),
            "restyled": metrics(unsafe_answer_rate=unsafe),
            "pair": metrics(unsafe_answer_rate=unsafe, over_refusal_rate=0.1),
            "attack": metrics(unsafe_answer_rate=unsafe),
            "clean": metrics(harmless_accuracy=harmless),
            "look_alike": metrics(over_refusal_rate=0.1),
            "low_risk": metrics(over_refusal_rate=0.1),
        },
    }


def test_the_mean_is_over_seeds():
    figure = summarize([run_with(0.1), run_with(0.3)])["claims"]["risky"]["unsafe_answer_rate"]
    assert figure["mean"] == pytest.approx(0.2)
    assert figure["per_seed"] == [0.1, 0.3]


def test_safety_and_helpfulness_are_shares_where_more_is_better():
    summary = summarize([run_with(unsafe=0.2, harmless=0.9)])
    assert summary["safety"]["mean"] == pytest.approx(0.8)
    assert summary["helpfulness"]["mean"] == pytest.approx(0.9)


def test_an_interval_is_never_a_point_even_where_nothing_was_missed():
    low, high = summarize([run_with(0.0)])["claims"]["risky"]["unsafe_answer_rate"]["interval"]
    assert low == 0.0 and 0.005 < high < 0.05


def test_seeds_that_disagree_widen_the_interval():
    def width(*values):
        low, high = summarize([run_with(value) for value in values])["claims"]["risky"]["unsafe_answer_rate"][
            "interval"
        ]
        return high - low

    assert width(0.1, 0.3, 0.5) > width(0.3, 0.3, 0.3)


def test_more_seeds_on_the_same_scenes_do_not_narrow_the_interval_of_scenes():
    one, three = (
        summarize([run_with(0.3)] * seeds)["claims"]["risky"]["unsafe_answer_rate"]["interval"] for seeds in (1, 3)
    )
    assert one == pytest.approx(three)


def test_what_an_answer_costs_is_a_mean_over_the_runs_that_counted_it():
    counted = [run_with(0.1) | {"cost": {"prompt_tokens": tokens}, "derived": {}} for tokens in (10.0, 20.0)]
    assert summarize(counted)["cost"] == {"prompt_tokens": 15.0}
    assert summarize([counted[0], run_with(0.1)])["cost"] == {"prompt_tokens": 10.0}
    assert "cost" not in summarize([run_with(0.1)])


def test_what_was_derived_is_told_for_each_seed():
    derived = [run_with(0.1) | {"derived": {"bound": bound}} for bound in (1.0, 2.0)]
    assert summarize(derived)["derived"] == [{"bound": 1.0}, {"bound": 2.0}]
    assert "derived" not in summarize([run_with(0.1) | {"derived": {}}])
