"""The notebooks run from top to bottom, carry no outputs, and open in Colab."""

import re
from pathlib import Path

import pytest
from documentation.notebooks import INSTALL, PARAMETERS, has_tag, run_notebook
from documentation.pages import NOTEBOOKS, ROOT, read_cells


COLAB = "https://colab.research.google.com/github/safe-llava/safe-llava/blob/main"
LITTLE = {"first_verdict": {}, "your_data": {"NUM_ROWS": 64, "EPOCHS": 1}, "read_an_audit": {"NUM_IMAGES": 24}}
"""Parameters with which each runs in seconds."""

each_notebook = pytest.mark.parametrize("notebook", NOTEBOOKS)


@pytest.fixture
def quick(monkeypatch) -> None:
    """So few rows teach a head nothing, and what `calibrate` draws is drawn for its own page already."""
    monkeypatch.setattr("safe_llava.training.trainer.find_unlearned", lambda held_out: [])
    monkeypatch.setattr("safe_llava.calibration.run_calibration.write_report", lambda *_: None)


@pytest.fixture(scope="module")
def extras() -> set[str]:
    tomllib = pytest.importorskip("tomllib")
    return set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


@each_notebook
def test_it_runs_from_top_to_bottom(notebook, working_dir, monkeypatch, quick):
    monkeypatch.chdir(working_dir)
    shown = run_notebook(notebook, **LITTLE[Path(notebook).stem])
    assert len([value for value in shown if value is not None]) >= 3


@each_notebook
def test_it_carries_no_outputs(notebook):
    code = [cell for cell in read_cells(notebook) if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] or cell["execution_count"] for cell in code)


@each_notebook
def test_its_badge_opens_it_in_colab(notebook):
    assert f"]({COLAB}/{notebook})" in read_cells(notebook)[0]["source"]


@each_notebook
def test_it_installs_the_package_by_pip_alone_and_where_it_is_missing(notebook, extras):
    (cell,) = [cell for cell in read_cells(notebook) if has_tag(cell, INSTALL)]
    *conditions, command = cell["source"].splitlines()
    assert conditions[-1] == 'if importlib.util.find_spec("safe_llava") is None:'
    named = re.fullmatch(r'    %pip install --quiet "safe-llava\[([\w,]+)\]"', command)
    assert set(named[1].split(",")) <= extras


@each_notebook
def test_its_parameters_stand_in_one_cell_before_they_are_used(notebook):
    code = [cell for cell in read_cells(notebook) if cell["cell_type"] == "code"]
    assert [has_tag(cell, PARAMETERS) for cell in code].index(True) == 1
    assert sum(has_tag(cell, PARAMETERS) for cell in code) == 1
