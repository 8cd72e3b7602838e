"""Figures of attacked cells, as tables and on the page."""

import json
from pathlib import Path

import pytest

from recipes.study import cell_run
from recipes.study.attack_tables import attack_table, page_attack_tables
from recipes.study.cells import load_cells
from recipes.study.miniature_study import MINIATURE_STUDY
from safe_llava.evaluation.attacks.attack_suites import SUITES


RESULTS = Path(__file__).parents[3] / "recipes" / "study" / "results"


def share(mean: float) -> dict:
    return {"mean": mean, "interval": [mean - 0.1, mean + 0.1]}


def figures(attack: str, clean: float, attacked: float, rows: int = 50) -> dict:
    unsafe = {"clean": share(clean), "attacked": share(attacked)}
    return {"attack": attack, "rows": rows, "answer": unsafe, "told": {"clean": share(0.1), "attacked": share(0.3)}}


CELLS = {
    "ours": [figures("crop", 0.1, 0.4), figures("german", 0.2, 0.5, rows=30)],
    "ecso": [figures("crop", 0.9, 0.8)],
}


def test_every_attack_has_a_line_and_every_cell_a_column():
    assert attack_table(CELLS).splitlines() == [
        "|  | `ours` | `ecso` |",
        "| --- | ---: | ---: |",
        "| crop | 10 to 40 (30-50) | 90 to 80 (70-90) |",
        "| german | 20 to 50 (40-60) | - |",
    ]


def test_the_page_shows_each_cell_unattacked_on_all_rows_and_under_the_chosen_attacks_that_were_made():
    head, _, ours, ecso = page_attack_tables(CELLS)[0].splitlines()
    names = [name.strip() for name in head.split("|")[1:-1]]
    assert names == ["", "unattacked", "crop", "German"]
    cells = dict(zip(names, (value.strip() for value in ours.split("|")[1:-1])))
    assert (cells["unattacked"], cells["crop"], cells["German"]) == ("10 (0-20)", "40 (30-50)", "50 (40-60)")
    assert ecso.split("|")[names.index("German") + 1].strip() == "-"


def test_a_second_table_shows_what_is_told():
    *_, ours, _ = page_attack_tables(CELLS)[1].splitlines()
    assert [value.strip() for value in ours.split("|") if "(" in value] == ["10 (0-20)", "30 (20-40)", "30 (20-40)"]


@pytest.fixture(scope="module")
def results() -> dict:
    return json.loads((RESULTS / "attacks.json").read_text())


def test_the_committed_attacks_are_all_of_them_on_the_world_and_grid_of_now(results):
    grid = load_cells(MINIATURE_STUDY)
    assert results["suites"] == list(SUITES)
    assert results["world"] == MINIATURE_STUDY.fingerprint
    assert results["keys"] == {name: cell_run.run_key(MINIATURE_STUDY, grid[name]) for name in results["cells"]}


def test_the_pages_show_the_committed_attacks(results, pages):
    for table in page_attack_tables(results["cells"]):
        assert table in pages


def test_the_committed_table_is_that_of_the_results(results):
    assert (RESULTS / "attacks.md").read_text() == attack_table(results["cells"])
