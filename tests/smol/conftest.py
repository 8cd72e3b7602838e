"""Stand-ins for the drawings that others drew."""

import pytest
from datasets import Dataset
from smol_stand_in import draw_table

from safe_llava.smol.drawings import SPLIT_MAKERS, Drawings


@pytest.fixture(scope="session")
def drawings_table() -> Dataset:
    return draw_table()


@pytest.fixture(scope="session")
def drawings(drawings_table) -> dict[str, Drawings]:
    return {split: Drawings(drawings_table, split) for split in SPLIT_MAKERS}
