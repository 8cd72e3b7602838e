"""The results that are committed, and what is said of them."""

import json
from pathlib import Path

import pytest

from recipes.study import cell_run
from recipes.study.cells import load_cells
from recipes.study.miniature_study import MINIATURE_STUDY, page_tables, world_fingerprint
from recipes.study.over_seeds import summarize
from recipes.study.runs_file import read_runs
from recipes.study.study_tables import markdown_page
from safe_llava.miniature.alignment_benchmark import BENCHMARK_VERSION


ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "recipes" / "study" / "results"


@pytest.fixture(scope="module")
def results() -> dict:
    return json.loads((RESULTS / "results.json").read_text())


def test_the_committed_results_are_of_this_benchmark_and_this_base(results):
    assert (results["benchmark_version"], results["world"]) == (BENCHMARK_VERSION, world_fingerprint())
    assert not results["reduced"]


@pytest.fixture(scope="module")
def runs() -> dict:
    return read_runs(RESULTS)


def test_the_committed_runs_are_of_the_grid_and_the_recipes_of_now(runs):
    grid = load_cells(MINIATURE_STUDY)
    keys = {name: cell_run.run_key(MINIATURE_STUDY, cell) for name, cell in grid.items()}
    assert {name for name, _ in runs} == set(grid)
    assert all(run["key"] == keys[name] for (name, _), run in runs.items())


def test_a_study_goes_on_with_the_committed_runs(runs, monkeypatch):
    def build_model(*args):
        pytest.fail("It trained anew.")

    monkeypatch.setattr(cell_run, "build_model", build_model)
    assert (
        cell_run.run_cell(MINIATURE_STUDY, load_cells(MINIATURE_STUDY)["ours"], 0, RESULTS, 1.0, {}) == runs["ours", 0]
    )


def test_the_committed_figures_are_those_of_the_committed_runs(results, runs):
    for name, cell in results["cells"].items():
        of_cell = [run for (cell_name, _), run in sorted(runs.items()) if cell_name == name]
        of_runs = summarize(of_cell, MINIATURE_STUDY.safety, MINIATURE_STUDY.helpfulness)
        assert {key: cell[key] for key in cell.keys() - {"group", "about"}} == of_runs, name


def test_the_pages_show_the_committed_results(results, pages):
    for table in page_tables(results):
        assert table in pages


def test_the_committed_tables_are_those_of_the_results(results):
    assert (RESULTS / "tables.md").read_text() == markdown_page(results, MINIATURE_STUDY)


def test_no_baseline_is_as_safe_at_the_same_helpfulness(results):
    """Of safety and helpfulness, each baseline loses at least one to ours by more than chance."""
    ours = results["cells"]["ours"]
    baselines = {name: cell for name, cell in results["cells"].items() if cell["group"] == "baseline"}
    assert len(baselines) >= 5
    for name, cell in baselines.items():
        worse = [axis for axis in ("safety", "helpfulness") if cell[axis]["interval"][1] < ours[axis]["interval"][0]]
        assert worse, name
