"""The wheel holds every package, recipe and card template of the repository."""

import re
from pathlib import Path

import pytest

from safe_llava.files import MODEL_CARDS, RECIPES


ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def setuptools_table() -> dict:
    tomllib = pytest.importorskip("tomllib")
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def test_every_package_is_listed(setuptools_table):
    found = {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("safe_llava/**/__init__.py")}
    package_dir = setuptools_table["package-dir"]
    listed = {package_dir.get(name, name.replace(".", "/")) for name in setuptools_table["packages"]}
    assert listed - {"recipes", "model_cards"} == found


@pytest.mark.parametrize("folder", [RECIPES, MODEL_CARDS])
def test_every_recipe_and_card_template_is_shipped(setuptools_table, folder):
    patterns = [*setuptools_table["package-data"][f"safe_llava.{folder.name}"], "*.py"]
    shipped = {path for pattern in patterns for path in folder.glob(pattern)}
    not_shipped = r"__pycache__|/\.|/results/"  # what a run leaves belongs to the repository alone
    present = {path for path in folder.rglob("*") if path.is_file() and not re.search(not_shipped, str(path))}
    assert present
    assert shipped == present
