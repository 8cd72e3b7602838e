"""What the guard saves against a generative guard of the same base, in counts that no clock can change."""

import json
import subprocess
import sys
from pathlib import Path


SCRIPT = Path(__file__).parents[2] / "recipes" / "benchmark" / "guard.py"


def test_a_guard_takes_less_than_a_fifth_of_the_flops_at_the_mid_shape(tmp_path):
    output = tmp_path / "guard.json"
    command = [sys.executable, str(SCRIPT), "--shape", "mid", "--count-only", "--output", str(output)]
    subprocess.run(command, check=True, capture_output=True)
    flops = json.loads(output.read_text())["flops_per_picture"]
    assert 0 < 5 * flops["guard"] < flops["generative"]
