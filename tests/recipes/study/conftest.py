import sys
from pathlib import Path

import pytest


STUDY = Path(__file__).parents[2] / "recipes" / "study"


@pytest.fixture(autouse=True)
def study_on_path(monkeypatch):
    """`recipes/study/run.py` is a script: its neighbours are found beside it."""
    monkeypatch.syspath_prepend(str(STUDY))


@pytest.fixture(scope="module")
def run_script() -> list[str]:
    return [sys.executable, str(STUDY / "run.py")]
