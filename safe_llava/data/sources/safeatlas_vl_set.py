"""SafeAtlas-VL: a million annotations of images, requests and responses, on five ordered levels.

Its card describes what is published; the names of the columns beside `image`, `image_id` and the tables were not seen.
"""

from collections.abc import Iterator
from pathlib import Path

from ...models.safety_texts import NEUTRAL_QUESTION
from .public_set import PublicSet, SetRequest, SetRow, conversation_of
from .published_tables import PublishedFileError, Record
from .set_files import find_tables, read_rows


_COLUMNS = {
    "image_id": "text or a number",
    "target": "text",
    "request": "text",
    "level": "text or a number",
    "category": "text",
}
_TARGETS = ("image", "request", "response")


def _image_tables(request: SetRequest) -> list[Path]:
    return find_tables(request, f"images/{request.split}-*.parquet")


def _read(request: SetRequest) -> Iterator[SetRow]:
    images = read_rows(_image_tables(request), {"image_id": "text or a number", "image": "an image"})
    rows = {str(record.values["image_id"]): number for number, record in enumerate(images)}
    for record in read_rows(find_tables(request, f"annotations/{request.split}-*.parquet"), _COLUMNS):
        # Every row of the dataset has an image's row; one that names none is bad and shows the first.
        image_row = rows.get(str(record.values["image_id"]))
        try:
            yield _row_of(record, image_row)
        except PublishedFileError as error:
            yield SetRow(record.place, image_row=image_row or 0, problems=[str(error)])


def _row_of(record: Record, image_row: int | None) -> SetRow:
    if image_row is None:
        raise record.refuse("image_id", "that of a row of the images")
    target = record.choice("target", _TARGETS)
    question = NEUTRAL_QUESTION if target == "image" else record.text("request")
    return SetRow(
        record.place,
        conversation_of(question, None),
        category=record.optional_text("category"),
        level=record.key("level"),
        image_row=image_row,
        left_out="its labels are of a response, which the safety head never reads" if target == "response" else None,
    )


SAFEATLAS_VL = PublicSet(
    name="safeatlas-vl",
    title="SafeAtlas-VL",
    paper="none that is known",
    home="https://huggingface.co/datasets/zrwang1211/SafeAtlas-VL",
    hub_id="zrwang1211/SafeAtlas-VL",
    licence="gated; research, evaluation and education",
    layout="""
images/train-*.parquet, test-*.parquet        image_id, image
annotations/train-*.parquet, test-*.parquet   an annotation a row, joined by image_id
""",
    columns={
        "image_id": "which image; in both tables",
        "image": "the image",
        "target": "what is annotated: image, request or response (left out)",
        "request": "what is asked, where a request is annotated",
        "level": "0 (safe) to 4",
        "category": "one of 15, or null",
    },
    cannot_tell="Five levels do not fit four, so two of them are either of two; no answers; types until you map them.",
    splits=("train", "test"),
    read=_read,
    categories={"*": "risky"},
    levels={
        "0": "none",
        "1": "low",
        "2": ["low", "medium"],
        "3": ["medium", "high"],
        "4": "high",
    },
    hub_files=("images/{split}-*.parquet", "annotations/{split}-*.parquet"),
    image_tables=_image_tables,
)
