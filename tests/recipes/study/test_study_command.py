"""The reduced grid, end to end. About a minute on two cores."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image


pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def run(*arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "recipes.study", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


@pytest.fixture(scope="module")
def study_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    done = run("--output-dir", str(folder), "--reduced")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_an_unknown_cell_is_named_with_the_cells_there_are(tmp_path):
    done = run("--output-dir", str(tmp_path), "--cell", "magic")
    assert done.returncode != 0
    assert "magic" in done.stderr and "lora_only" in done.stderr


def test_the_reduced_grid_writes_results_tables_and_frontier(study_dir):
    results = json.loads((study_dir / "results.json").read_text())
    assert results["reduced"] and "synthetic" in results["data"]
    assert results["cells"].keys() == {"ours", "base", "linear_probe", "hints_off"}
    assert results["cells"]["base"]["claims"]["risky"]["unsafe_answer_rate"]["mean"] > 0.8
    assert "| `ours` |" in (study_dir / "tables.md").read_text()
    assert Image.open(study_dir / "frontier.png").width > 600


def test_a_second_run_recomputes_nothing(study_dir):
    kept = study_dir / "runs.jsonl"
    before = (kept.read_text(), kept.stat().st_mtime_ns)
    assert run("--output-dir", str(study_dir), "--reduced").returncode == 0
    assert (kept.read_text(), kept.stat().st_mtime_ns) == before
