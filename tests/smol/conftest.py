"""Stand-ins for the drawings that others drew: for every maker and every emoji of the table a little square."""

from io import BytesIO

import pytest
from datasets import Dataset, Features, Image, Value
from PIL import Image as PILImage

from safe_llava.smol.concepts import read_concepts
from safe_llava.smol.drawings import SPLIT_MAKERS, Drawings


def draw_square(color: str) -> bytes:
    image = PILImage.new("RGBA", (16, 16), (0, 0, 0, 0))
    image.paste(color, (2, 2, 14, 14))
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="session")
def drawings_table() -> Dataset:
    table = read_concepts()
    squares = {color: draw_square(color) for color in {"navy", *table.colors.values()}}
    rows = [
        {"maker": maker, "concept": code, "image": {"bytes": squares[table.colors.get(name, "navy")], "path": None}}
        for makers in SPLIT_MAKERS.values()
        for maker in makers
        for name, concept in table.concepts.items()
        for code in concept.codes
    ]
    features = Features({"maker": Value("string"), "concept": Value("string"), "image": Image()})
    return Dataset.from_list(rows, features=features)


@pytest.fixture(scope="session")
def drawings(drawings_table) -> dict[str, Drawings]:
    return {split: Drawings(drawings_table, split) for split in SPLIT_MAKERS}
