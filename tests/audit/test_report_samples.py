"""The reviewer gets the riskiest rows and fair random samples, the same ones in whatever order the rows come."""

import numpy as np
import pyarrow as pa
import pytest
from drawn_audit import make_flagged, make_table, make_text_only, make_unreadable
from scipy.stats import chisquare

from safe_llava.audit.report_samples import (
    choose_samples,
    find_flagged,
    find_passed,
    score_risk,
    shuffle_keys,
    take_first,
)


def keys(rows: list[dict]) -> list[str]:
    return [row["key"] for row in rows]


@pytest.fixture(scope="module")
def table() -> pa.Table:
    generator = np.random.default_rng(0)
    rows = []
    for index in range(400):
        risk = float(generator.random())
        probs = {"level_prob_none": 1 - risk, "level_prob_low": 0.0, "level_prob_medium": 0.0, "level_prob_high": risk}
        rows.append(make_flagged(f"{index}", **probs) if index % 4 == 0 else {"key": f"{index}", **probs})
    return make_table(*rows, make_unreadable("broken", "truncated"))


@pytest.mark.parametrize(
    ("row", "is_flagged", "is_passed"),
    [
        ({"key": "answered"}, False, True),
        (make_flagged("refused"), True, False),
        (make_flagged("hinted", action="hint"), True, False),
        ({"key": "untrusted", "trusted": False}, True, False),
        ({"key": "undecided", "action": None}, True, False),
        (make_unreadable("broken", "truncated"), False, False),
    ],
    ids=lambda value: value["key"] if isinstance(value, dict) else "",
)
def test_each_row_is_flagged_or_passed_or_unreadable(row, is_flagged, is_passed):
    table = make_table(row)
    assert (find_flagged(table).tolist(), find_passed(table).tolist()) == ([is_flagged], [is_passed])


def test_the_score_is_the_expected_level_times_the_probability_of_a_risky_type():
    levels = {"level_prob_none": 0.1, "level_prob_low": 0.2, "level_prob_medium": 0.3, "level_prob_high": 0.4}
    table = make_table({"key": "row", **levels, "type_prob_safe": 0.25})
    assert score_risk(table)[0] == pytest.approx((0.2 + 2 * 0.3 + 3 * 0.4) / 3 * 0.75)


@pytest.mark.parametrize(
    "row",
    [make_unreadable("a", "truncated"), make_flagged("a", trusted=False), make_text_only("a")],
    ids=["unreadable", "untrusted", "text only"],
)
def test_rows_without_a_believable_verdict_on_an_image_have_no_score(row):
    assert np.isnan(score_risk(make_table(row))).all()


def test_the_riskiest_rows_are_those_with_the_highest_scores(table):
    ranked = np.argsort(-np.nan_to_num(score_risk(table), nan=-1))[:10]
    assert keys(choose_samples(table, num_samples=10).riskiest) == table["key"].take(pa.array(ranked)).to_pylist()


def test_what_the_policy_lets_pass_can_be_among_the_riskiest():
    table = make_table(make_flagged("let pass", action="answer", types=[]), {"key": "harmless"})
    assert keys(choose_samples(table, num_samples=1).riskiest) == ["let pass"]


def test_samples_are_drawn_from_their_own_rows(table):
    samples = choose_samples(table, num_samples=50)
    flagged = set(table.filter(pa.array(find_flagged(table)))["key"].to_pylist())
    passed = set(table.filter(pa.array(find_passed(table)))["key"].to_pylist())
    assert set(keys(samples.flagged)) <= flagged
    assert set(keys(samples.passed)) <= passed


def test_a_sample_holds_the_asked_number_of_different_rows(table):
    samples = choose_samples(table, num_samples=50)
    assert [len(set(keys(rows))) for rows in (samples.riskiest, samples.flagged, samples.passed)] == [50, 50, 50]


def test_where_there_are_fewer_rows_all_are_taken(table):
    assert len(choose_samples(table, num_samples=1000).flagged) == 100


def test_the_order_of_the_rows_does_not_matter(table):
    shuffled = table.take(np.random.default_rng(1).permutation(table.num_rows))
    in_chunks = pa.concat_tables([shuffled.slice(0, 7), shuffled.slice(7)])
    assert choose_samples(in_chunks, num_samples=20) == choose_samples(table, num_samples=20)


def test_ties_for_the_riskiest_do_not_depend_on_the_order_of_the_rows():
    rows = [make_flagged(f"{index}") for index in range(50)]
    forwards, backwards = make_table(*rows), make_table(*reversed(rows))
    assert choose_samples(forwards, num_samples=5).riskiest == choose_samples(backwards, num_samples=5).riskiest


def test_another_seed_gives_other_random_samples(table):
    assert keys(choose_samples(table, 20, seed=1).passed) != keys(choose_samples(table, 20, seed=0).passed)


def test_every_row_is_equally_likely_to_be_drawn(table):
    names, rows = table["key"].slice(0, 100), np.arange(100)
    drawn = np.concatenate([take_first(rows, shuffle_keys(names, seed), 10) for seed in range(300)])
    assert chisquare(np.bincount(drawn, minlength=100)).pvalue > 0.01


def test_most_of_a_sample_stays_when_the_table_grows(table):
    more = pa.concat_tables([table, make_table(*({"key": f"new-{index}"} for index in range(30)))])
    kept = set(keys(choose_samples(table, 50).passed)) & set(keys(choose_samples(more, 50).passed))
    assert len(kept) >= 40


def test_a_sample_tells_its_columns_its_score_and_whether_it_is_flagged(table):
    sample = choose_samples(table, num_samples=1).flagged[0]
    assert sample["is_flagged"] is True
    assert sample.keys() == {*table.column_names, "risk_score", "is_flagged"}


def test_an_empty_table_gives_empty_samples(table):
    samples = choose_samples(table.slice(0, 0))
    assert (samples.riskiest, samples.flagged, samples.passed) == ([], [], [])
