"""The reduced grid, end to end. About a minute on two cores."""

import json
import subprocess

import pytest
from PIL import Image


pytestmark = pytest.mark.slow


def run(script: list[str], *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([*script, *arguments], capture_output=True, text=True)


@pytest.fixture(scope="module")
def study_dir(run_script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    done = run(run_script, "--output-dir", str(folder), "--reduced")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_an_unknown_cell_is_named_with_the_cells_there_are(run_script, tmp_path):
    done = run(run_script, "--output-dir", str(tmp_path), "--cell", "magic")
    assert done.returncode != 0
    assert "magic" in done.stderr and "lora_only" in done.stderr


def test_the_reduced_grid_writes_results_tables_and_frontier(study_dir):
    results = json.loads((study_dir / "results.json").read_text())
    assert results["reduced"] and "synthetic" in results["data"]
    assert results["cells"].keys() == {"ours", "base", "linear_probe", "hints_off"}
    assert results["cells"]["base"]["claims"]["risky"]["unsafe_answer_rate"]["mean"] > 0.8
    assert "| `ours` |" in (study_dir / "tables.md").read_text()
    assert Image.open(study_dir / "frontier.png").width > 600


def test_a_second_run_recomputes_nothing(run_script, study_dir):
    times = {path: path.stat().st_mtime_ns for path in (study_dir / "runs").iterdir()}
    assert run(run_script, "--output-dir", str(study_dir), "--reduced").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in (study_dir / "runs").iterdir()} == times
