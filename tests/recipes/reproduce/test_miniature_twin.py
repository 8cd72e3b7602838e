"""The miniature goes the whole way, is killed while it trains, and does on the second call only what is missing."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from reproduce.conftest import ROOT
from transformers import AutoConfig

from recipes.reproduce.__main__ import main
from safe_llava.files import read_json


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("inspect_ai") is None, reason="inspect-ai needs Python 3.11"),
]

STEPS = ["get-scenes", "check1", "check2", "convert", "stage1", "stage2", "calibrate", "evaluate", "results"]
CONFIG = Path("recipes/reproduce/miniature.yaml")
OUTPUT = Path("checkpoints/reproduce-miniature")


@pytest.fixture
def start(clone, monkeypatch):
    """Starts the command in a process group of its own; what it prints goes to a file."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def run() -> subprocess.Popen:
        command = [sys.executable, "-m", "recipes.reproduce", "--config", str(CONFIG)]
        with Path("printed.txt").open("a") as output:
            return subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)

    return run


def log() -> list[str]:
    """The lines of the log without their times."""
    return [line.partition(" ")[2] for line in (OUTPUT / "steps.log").read_text().splitlines()]


def lines_of(*steps: str) -> list[str]:
    return [f"{step} {what}" for step in steps for what in ("starts", "done")]


def test_a_killed_run_is_finished_by_the_same_command_and_then_nothing_is_left(start):
    with start() as process:
        while process.poll() is None and not list(OUTPUT.glob("stage1/checkpoint-*/trainer_state.json")):
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL, Path("printed.txt").read_text()[-3000:]
    assert log() == [*lines_of(*STEPS[:4]), "stage1 starts"]

    main(CONFIG)
    done = log()
    assert re.fullmatch(r"stage1 goes on from checkpoint-\d+", done[9])
    assert done[10:] == ["stage1 done", *lines_of(*STEPS[5:])]
    assert AutoConfig.from_pretrained(OUTPUT / "stage2").safety_training is not None
    assert [*read_json(OUTPUT / "metrics.json")["benchmarks"]] == ["vlguard"]

    main(CONFIG)
    assert log() == done
