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


@pytest.fixture(scope="module")
def folders(setuptools_table) -> dict[str, Path]:
    """Where each package of the wheel stands in the repository."""
    package_dir = setuptools_table["package-dir"]

    def folder(package: str) -> Path:
        if package in package_dir:
            return ROOT / package_dir[package]
        parent, _, name = package.rpartition(".")
        return folder(parent) / name

    return {package: folder(package) for package in setuptools_table["packages"]}


def test_every_package_is_listed(folders):
    found = {path.parent for room in (ROOT / "safe_llava", RECIPES) for path in room.rglob("__init__.py")}
    assert set(folders.values()) == found | {MODEL_CARDS}


@pytest.mark.parametrize("room", [RECIPES, MODEL_CARDS])
def test_every_recipe_and_card_template_is_shipped(setuptools_table, folders, room):
    patterns = setuptools_table["package-data"]
    shipped = {
        path
        for package, folder in folders.items()
        if folder.is_relative_to(room)
        for pattern in ["*.py", *patterns.get(package, [])]
        for path in folder.glob(pattern)
    }
    not_shipped = r"__pycache__|/\.|/results/"  # what a run leaves belongs to the repository alone
    present = {path for path in room.rglob("*") if path.is_file() and not re.search(not_shipped, str(path))}
    assert present
    assert shipped == present
