"""The results that are committed, and what is said of them."""

import json
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results() -> dict[str, dict]:
    folder = ROOT / "recipes" / "benchmark" / "results"
    return {shape: json.loads((folder / f"{shape}.json").read_text()) for shape in ("mid", "llava-1.5-7b")}


def test_the_readme_shows_the_committed_results(suite, results):
    assert suite.cost_tables.readme_table(results["mid"], results["llava-1.5-7b"]) in (ROOT / "README.md").read_text()


def test_what_is_promised_at_the_mid_shape_was_measured(suite, results):
    ratios = results["mid"]["timings"]["1"]["ratios"]
    for name, bounds in suite.ratios.BOUNDS.items():
        if name.startswith("tokens per second"):
            assert ratios[name]["median"] >= bounds["mid"]
        else:
            assert ratios[name]["median"] <= bounds["mid"]
