"""The results on the small LLaVA that are committed, and what is said of them."""

import json
from pathlib import Path

import pytest

from recipes.study.attack_tables import attack_table, page_attack_tables
from recipes.study.over_seeds import summarize
from recipes.study.runs_file import read_runs
from recipes.study.smol_study import page_table, smol_study
from recipes.study.study_tables import markdown_page
from safe_llava.smol.world_benchmark import BENCHMARK_VERSION


ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "recipes" / "study" / "results" / "smol"


@pytest.fixture(scope="module")
def results() -> dict:
    return json.loads((RESULTS / "results.json").read_text())


@pytest.fixture(scope="module")
def study(smol_folder):
    return smol_study(smol_folder)


def test_the_committed_results_are_of_this_benchmark(results):
    assert results["benchmark_version"] == BENCHMARK_VERSION
    assert not results["reduced"]


def test_the_committed_figures_are_those_of_the_committed_runs(results, study):
    runs = read_runs(RESULTS)
    assert {name for name, _ in runs} == set(results["cells"])
    for name, cell in results["cells"].items():
        of_cell = [run for (cell_name, _), run in sorted(runs.items()) if cell_name == name]
        of_runs = summarize(of_cell, study.safety, study.helpfulness)
        assert {key: cell[key] for key in cell.keys() - {"group", "about"}} == of_runs, name


def test_the_pages_show_the_committed_results(results, pages):
    assert page_table(results) in pages


def test_the_committed_tables_are_those_of_the_results(results, study):
    assert (RESULTS / "tables.md").read_text() == markdown_page(results, study)


@pytest.fixture(scope="module")
def attacks() -> dict:
    return json.loads((RESULTS / "attacks.json").read_text())


def test_what_was_attacked_is_what_was_measured(attacks):
    measured = {name: run["key"] for (name, _), run in read_runs(RESULTS).items()}
    in_both = measured.keys() & attacks["keys"].keys()
    assert in_both >= {"base", "ours", "lora_only"}
    assert {name: attacks["keys"][name] for name in in_both} == {name: measured[name] for name in in_both}


def test_the_pages_show_the_committed_attacks(attacks, pages):
    for table in page_attack_tables(attacks["cells"]):
        assert table in pages


def test_the_committed_attack_table_is_that_of_the_results(attacks):
    assert (RESULTS / "attacks.md").read_text() == attack_table(attacks["cells"])
