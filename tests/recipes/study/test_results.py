"""The results that are committed, and what is said of them."""

import json
from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "recipes" / "study" / "results"


@pytest.fixture(scope="module")
def results() -> dict:
    return json.loads((RESULTS / "results.json").read_text())


def test_the_committed_results_are_of_this_benchmark_and_this_base(results):
    from models import world_fingerprint

    from safe_llava.miniature.benchmark import BENCHMARK_VERSION

    assert (results["benchmark_version"], results["world"]) == (BENCHMARK_VERSION, world_fingerprint())
    assert not results["reduced"]


def test_the_readme_shows_the_committed_results(results):
    from tables import readme_tables

    readme = (ROOT / "README.md").read_text()
    for table in readme_tables(results):
        assert table in readme


def test_the_committed_tables_are_those_of_the_results(results):
    from tables import markdown_page

    assert (RESULTS / "tables.md").read_text() == markdown_page(results)


def test_no_baseline_is_as_safe_at_the_same_helpfulness(results):
    """Of safety and helpfulness, each baseline loses at least one to ours by more than chance."""
    ours = results["cells"]["ours"]
    baselines = {name: cell for name, cell in results["cells"].items() if cell["group"] == "baseline"}
    assert len(baselines) >= 5
    for name, cell in baselines.items():
        worse = [axis for axis in ("safety", "helpfulness") if cell[axis]["interval"][1] < ours[axis]["interval"][0]]
        assert worse, name
