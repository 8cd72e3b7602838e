"""`recipes/benchmark/run.py` measures in turns, writes what it found, and says what it left out."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


SCRIPT = str(Path(__file__).parents[2] / "recipes" / "benchmark" / "run.py")


@pytest.fixture
def turns():
    """Two rounds, the second on a machine that something slows down."""
    seconds = {"stock": 1.0, "answering": 1.2, "hinting": 1.4, "refusing": 0.2}
    seconds |= {"two_pass": 4.0, "two_pass_short": 2.0, "guard_then_answer": 1.6}
    return {
        way: {
            "first_token_seconds": [value, 3 * value],
            "tokens_per_second": [None, None] if way == "refusing" else [10.0, 5.0],
            "answer_seconds": [2 * value, 6 * value],
        }
        for way, value in seconds.items()
    }


def test_a_ratio_is_taken_within_a_round(suite, turns):
    found = suite.ratios.compare(turns)["first token: answering / stock"]
    assert found == pytest.approx({"median": 1.2, "low": 1.2, "high": 1.2})


def test_a_refusal_has_no_tokens_per_second(suite, turns):
    assert "tokens_per_second" not in suite.ratios.over_stock(turns)["refusing"]


def test_every_promise_is_about_a_ratio_that_is_measured(suite, turns):
    assert set(suite.ratios.BOUNDS) <= set(suite.ratios.compare(turns))


def test_the_command_writes_its_results_and_where_they_come_from(tmp_path):
    options = ["--shape", "miniature", "--batch-size", "2", "--rounds", "2", "--new-tokens", "3", "--no-memory"]
    command = [sys.executable, SCRIPT, *options, "--output-dir", str(tmp_path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    results = json.loads((tmp_path / "results.json").read_text())
    assert {"machine", "versions", "threads", "seed", "dtype"} <= results.keys()
    timed = results["timings"]["2"]
    assert set(timed["over_stock"]) == {"stock", *results["flops"]} - {"least_answering", "least_hinting"}
    assert len(timed["turns"]["hinting"]["first_token_seconds"]) == 2
    assert "policy off" in said and "tokens/s" in said
