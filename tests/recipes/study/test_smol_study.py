"""The study in the world of drawings, on stand-ins: it runs end to end, and says what it measured."""

import json

import pytest
import typer
from typer.testing import CliRunner

from recipes.study.__main__ import main
from recipes.study.find_world import find_world
from recipes.study.smol_study import smol_study
from safe_llava.smol.world_benchmark import CLAIMS


@pytest.mark.parametrize(("world", "has_base"), [("smol", False), ("miniature", True)])
def test_a_base_belongs_to_the_world_of_drawings_and_to_no_other(smol_folder, world, has_base):
    with pytest.raises(typer.BadParameter, match="--base"):
        find_world(world, smol_folder if has_base else None)


def test_every_column_and_axis_is_a_claim_of_the_benchmark(smol_folder):
    study = smol_study(smol_folder)
    columns = [where for table in study.tables.values() for where in table.values() if not isinstance(where, str)]
    claims = {claim for claim, _ in (*columns, *study.safety, *study.helpfulness)} | set(study.unseen)
    assert claims == set(CLAIMS)


def test_the_first_cells_are_those_of_the_main_question(smol_folder):
    cells_file = smol_study(smol_folder).cells_file.read_text()
    names = [line[:-1] for line in cells_file.splitlines() if line and line[0].isalpha()]
    assert names[:6] == ["ours", "calibrated", "base", "lora_only", "paper", "head_only"]


@pytest.fixture(scope="module")
def study_dir(smol_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    app = typer.Typer()
    app.command()(main)
    where = ["--output-dir", str(folder), "--world", "smol", "--base", str(smol_folder)]
    done = CliRunner().invoke(app, [*where, "--reduced", "--jobs", "1"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return folder


@pytest.mark.slow
def test_the_reduced_grid_writes_results_tables_and_frontier(study_dir, smol_folder):
    results = json.loads((study_dir / "results.json").read_text())
    assert results["reduced"] and "drawings" in results["data"]
    assert results["world"] == smol_study(smol_folder).fingerprint
    assert results["cells"].keys() == {"ours", "base"}
    assert all(cell["claims"].keys() == CLAIMS.keys() for cell in results["cells"].values())
    assert results["cells"]["ours"]["claims"]["risky_pair"]["level_accuracy"]["count"] > 0
    assert "Scenes of drawings" in (study_dir / "tables.md").read_text()
    assert (study_dir / "frontier.png").is_file()
