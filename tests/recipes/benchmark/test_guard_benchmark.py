"""What the guard saves against a generative guard of the same base, in counts that no clock can change."""

import json
import subprocess
import sys
from pathlib import Path


ROOT = Path(__file__).parents[3]


def test_a_guard_takes_less_than_a_fifth_of_the_flops_at_the_mid_shape(tmp_path):
    output = tmp_path / "guard.json"
    command = [
        sys.executable,
        "-m",
        "recipes.benchmark.guard",
        "--shape",
        "mid",
        "--count-only",
        "--output",
        str(output),
    ]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    flops = json.loads(output.read_text())["flops_per_image"]
    assert 0 < 5 * flops["guard"] < flops["generative"]
