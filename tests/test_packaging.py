"""The wheel holds every package, recipe and card template of the repository."""

import re
from pathlib import Path

import pytest

from safe_llava.files import MODEL_CARDS, RECIPES


ROOT = Path(__file__).parents[1]
OUTSIDE = {"safe_llava.recipes": RECIPES, "safe_llava.model_cards": MODEL_CARDS}
"""Packages of the wheel that stand beside `safe_llava` in the repository."""


@pytest.fixture(scope="module")
def setuptools_table() -> dict:
    tomllib = pytest.importorskip("tomllib")
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]


def packages_in(folder: Path, name: str) -> dict[str, Path]:
    """The packages of a folder that the wheel has under this name, and where each stands."""
    folders = {path.parent for path in folder.rglob("__init__.py")} | {folder}
    return {".".join([name, *path.relative_to(folder).parts]): path for path in folders}


def test_every_package_is_listed(setuptools_table):
    found = packages_in(ROOT / "safe_llava", "safe_llava")
    for name, folder in OUTSIDE.items():
        found |= packages_in(folder, name)
    assert sorted(setuptools_table["packages"]) == sorted(found)


@pytest.mark.parametrize("name", OUTSIDE)
def test_every_recipe_and_card_template_is_shipped(setuptools_table, name):
    data = setuptools_table["package-data"]
    shipped = {
        path
        for package, folder in packages_in(OUTSIDE[name], name).items()
        for pattern in ["*.py", *data.get(package, [])]
        for path in folder.glob(pattern)
    }
    not_shipped = r"__pycache__|/\.|/results/"  # what a run leaves belongs to the repository alone
    present = {path for path in OUTSIDE[name].rglob("*") if path.is_file() and not re.search(not_shipped, str(path))}
    assert present
    assert shipped == present
