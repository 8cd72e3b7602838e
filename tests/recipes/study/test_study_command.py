"""The reduced grid, end to end. About a minute on two cores."""

import json

import pytest
import typer
from PIL import Image
from typer.testing import CliRunner, Result

from recipes.study.__main__ import main


pytestmark = pytest.mark.slow


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(main)
    return CliRunner().invoke(app, arguments)


@pytest.fixture(scope="module")
def study_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    done = run("--output-dir", str(folder), "--reduced")
    assert done.exit_code == 0, done.output
    return folder


def test_an_unknown_cell_is_named_with_the_cells_there_are(tmp_path):
    done = run("--output-dir", str(tmp_path), "--cell", "magic")
    assert done.exit_code != 0
    assert "magic" in done.stderr and "lora_only" in done.stderr


def test_the_reduced_grid_writes_results_tables_and_frontier(study_dir):
    results = json.loads((study_dir / "results.json").read_text())
    assert results["reduced"] and "synthetic" in results["data"]
    assert results["cells"].keys() == {"ours", "base", "linear_probe", "hints_off"}
    assert results["cells"]["base"]["claims"]["risky"]["unsafe_answer_rate"]["mean"] > 0.8
    [made] = results["settings"]
    assert (made["runs"], "torch" in made["setting"]["versions"]) == (4, True)
    assert "| `ours` |" in (study_dir / "tables.md").read_text()
    assert Image.open(study_dir / "frontier.png").width > 600


def test_ours_sees_each_image_once_and_pays_in_tokens(study_dir):
    ours, base = (
        json.loads((study_dir / "results.json").read_text())["cells"][name]["cost"] for name in ("ours", "base")
    )
    assert ours["tower_passes"] == base["tower_passes"] > 0
    assert ours["prompt_tokens"] > base["prompt_tokens"]
    assert "## Cost of an answer" in (study_dir / "tables.md").read_text()


def test_a_second_run_recomputes_nothing(study_dir):
    kept = study_dir / "runs.jsonl"
    before = (kept.read_text(), kept.stat().st_mtime_ns)
    assert run("--output-dir", str(study_dir), "--reduced").exit_code == 0
    assert (kept.read_text(), kept.stat().st_mtime_ns) == before


def test_a_part_that_is_run_later_leaves_the_others_in_the_tables(study_dir):
    assert run("--output-dir", str(study_dir), "--reduced", "--cell", "base").exit_code == 0
    assert json.loads((study_dir / "results.json").read_text())["cells"].keys() >= {"ours", "base"}
