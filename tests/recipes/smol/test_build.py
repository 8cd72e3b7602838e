import json
import subprocess
import sys

import pytest

from recipes.smol.build_steps import build_steps
from safe_llava.files import RECIPES


def test_each_step_reads_only_what_an_earlier_one_has_written(tmp_path):
    written = set()
    for step in build_steps(tmp_path):
        assert {files.path for files in step.inputs} <= written
        written |= {files.path for files in step.outputs}


@pytest.mark.slow
def test_the_build_runs_from_packages_to_a_llava_that_answers(tmp_path):
    pytest.importorskip("gguf", reason="needs the extra smol")
    pytest.importorskip("resvg_py", reason="needs the extra smol")
    command = [sys.executable, "-m", "recipes.smol", "--output-dir", str(tmp_path), "--size", "tiny"]
    subprocess.run(command, cwd=RECIPES.parent, check=True)
    results = json.loads((tmp_path / "results.json").read_text())
    assert set(results["gates"]) == {"aligned", "tower", "assembled", "base"}
    again = subprocess.run(command, cwd=RECIPES.parent, capture_output=True, text=True, check=True)
    assert again.stdout.count(": done\n") == len(build_steps(tmp_path))
