"""The stand-ins of the published files, written once, and writers of other ones."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from published_sets import WRITERS

from tests.published_files import encoded_image, write_archive, write_csv, write_images, write_json


__all__ = ["encoded_image", "write_archive", "write_csv", "write_images", "write_json"]


@pytest.fixture(scope="session")
def roots(tmp_path_factory) -> dict[str, Path]:
    """The folder of each public set's published files."""
    roots = {name: tmp_path_factory.mktemp("sets") / name for name in WRITERS}
    for name, root in roots.items():
        root.mkdir()
        WRITERS[name](root)
    return roots


@pytest.fixture
def copy_of(roots, tmp_path) -> Callable[[str], Path]:
    """`copy_of("vlguard")`: a copy of the published files that a test may change."""
    return lambda name: Path(shutil.copytree(roots[name], tmp_path / name))
