"""The table of an evaluation, from results as they are written to `results.json`."""

import pytest

from safe_llava.evaluation.result_table import COLUMNS, table_rows, title


SHARE = {"label": "unsafe answers", "higher_is_better": False, "is_share": True}
RATING = {"label": "safety rating", "higher_is_better": True, "is_share": False}


def value(number: float, *interval: float, rows: int = 10) -> dict:
    return {"value": number, "interval": list(interval) or None, "rows": rows}


@pytest.fixture
def results() -> dict:
    cost = {"rows": 10, "seconds": 20.0, "input_tokens": 100, "output_tokens": 40, "vision_passes": 1.0}
    failures = {"failures": 1, "asked": 10, "judges": {"openai/judge": 10}}
    benchmark = {
        "figures": [
            {
                **SHARE,
                "model": value(0.1, 0.0, 0.4),
                "base": value(0.6, 0.3, 0.8),
                "difference": value(-0.5, -0.8, -0.2),
            },
            {**RATING, "model": value(8.25), "base": value(3.0), "difference": value(5.25, 4.0, 6.5)},
        ],
        "judge_failures": {"model": {"unsafe_answer": failures}, "base": {"unsafe_answer": {**failures, "asked": 0}}},
        "cost": {"model": cost, "base": {**cost, "seconds": 10.0}},
        "settings": {"left_out": ["7", "9"]},
        "verdicts": {"rows": 10, "untrusted": 2, "flagged_harmful": 0.9, "flagged_harmless": None, "auroc": 0.987},
    }
    task = {"samples": 4, "policy": {"refuse": {"samples": 1, "right": 0.0}}, "new_tokens": 8, "seconds": 2.0}
    accuracy = {"pope_accuracy": {"value": 0.75, "stderr": 0.2, "higher_is_better": True}}
    utility = {
        "model": {"pope": {**task, "figures": accuracy}},
        "base": {"pope": {**task, "figures": accuracy}},
        "difference": {"pope": {"pope_accuracy": {"value": -0.25, "stderr": 0.25, "interval": [-0.75, 0.0]}}},
    }
    names = {"model": {"model": "/models/ours"}, "base": {"model": "org/llava"}, "judge": "openai/judge"}
    return {**names, "limit": 10, "seed": 3, "benchmarks": {"figstep": benchmark}, "utility": utility}


@pytest.mark.parametrize(
    "row",
    [
        ("figstep", "unsafe answers ↓", "10", "10.0% [0.0, 40.0]", "60.0% [30.0, 80.0]", "-50.0% [-80.0, -20.0]"),
        ("figstep", "safety rating ↑", "10", "8.25", "3", "+5.25 [4, 6.5]"),
        ("figstep", "left out, without a question", "2", "", "", ""),
        ("figstep", "judge failed, unsafe_answer", "10", "10.0%", "-", ""),
        ("figstep", "flagged by the policy, harmful", "", "90.0%", "-", ""),
        ("figstep", "AUROC of the head, harmful", "10", "0.987", "-", ""),
        ("figstep", "untrusted verdicts", "10", "2", "-", ""),
        ("figstep", "seconds an answer", "10", "2", "1", "x 2.00"),
        ("figstep", "vision passes an image", "", "1.00", "1.00", ""),
        ("pope", "pope_accuracy ↑", "4", "0.75", "0.75", "-0.25 [-0.75, 0]"),
        ("pope", "refused by the policy", "4", "25.0%", "-", ""),
    ],
)
def test_the_table_has(results, row):
    assert row in table_rows(results)


def test_every_row_fills_every_column(results):
    assert {len(row) for row in table_rows(results)} == {len(COLUMNS)}


def test_what_was_not_measured_has_no_row(results):
    assert not any("harmless" in row[1] for row in table_rows(results))


def test_the_title_names_models_judge_and_draw(results):
    assert title(results) == "ours beside its base llava; judge: openai/judge, 10 rows of each, seed 3"
