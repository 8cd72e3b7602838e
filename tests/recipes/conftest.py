from pathlib import Path

import pytest


ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def pages() -> str:
    """The text of the front page and of the recipes' pages."""
    return "\n".join(path.read_text() for path in (ROOT / "README.md", *(ROOT / "recipes").rglob("README.md")))
