"""JSON and csv files, as the training reads them too: rows that name their images and hold a conversation."""

import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data.csv_records import read_csv_records
from ..data.image_references import find_reference
from ..data.image_values import IMAGE_FIELDS
from ..data.json_records import read_records
from ..data.row_conversation import TEXT_FIELDS
from ..data.source_forms import form_of
from .audit_row import AuditRow, printable_key, read_row


def list_rows(
    path: Path,
    image_folder: Path,
    image_columns: tuple[str, ...] = (),
    text_column: str | None = None,
    key_column: str | None = None,
) -> Iterator[AuditRow]:
    """
    The rows of a JSON or csv file in any of the forms that [`~safe_llava.data.load_safety_dataset`] reads.

    Args:
        path (`Path`): the file.
        image_folder (`Path`): the folder that image names start from.
        image_columns (`tuple[str, ...]`, *optional*):
            Fields with images, as [`~safe_llava.data.image_values.images_of`] takes them. Defaults to "image" and
            "images", where they are.
        text_column (`str`, *optional*): Field of the question, a text or a conversation. Defaults to the conversation.
        key_column (`str`, *optional*):
            Field of the key. Defaults to "id" where every row has one of its own (LLaVA's own files repeat some), else
            to the row's number, from 0.

    Yields:
        [`AuditRow`]. Where a row cannot be understood it says so in `problem`.

    Raises:
        ValueError: if the file cannot be read, a field that was named is in no row, or no row names an image.
    """
    records = list((read_csv_records if form_of(path) == "csv" else read_records)(path).values())
    objects = [record for record in records if isinstance(record, dict)]
    for column in (*image_columns, *filter(None, (text_column, key_column))):
        if not any(column in record for record in objects):
            fields = sorted({field for record in objects[:100] for field in record})
            raise ValueError(f"{path} has no field {column!r}; its rows have {', '.join(fields) or 'no fields'}")
    keys = _keys(records, key_column)
    image_fields = image_columns or IMAGE_FIELDS
    rows = [_row(key, record, image_folder, image_fields, text_column) for key, record in zip(keys, records)]
    if rows and not any(row.images or row.problem for row in rows):
        raise ValueError(
            f"{path}: no row names an image. Images are sought in the fields {', '.join(map(repr, IMAGE_FIELDS))}; "
            "name another one: --image-column"
        )
    yield from rows


def _row(
    key: str, record: Any, image_folder: Path, image_fields: tuple[str, ...], text_column: str | None
) -> AuditRow:
    if not isinstance(record, dict):
        problem = (
            str(record) if isinstance(record, ValueError) else f"not a JSON object but {reprlib.repr(record):.80}"
        )
        return AuditRow(key, problem=f"not a row: {problem}")
    row = read_row(key, record, image_fields, text_column, image_folder)
    known = (text_column, *TEXT_FIELDS, *image_fields)
    if not row.images and row.problem is None and (field := find_reference(record, known)) is not None:
        problem = f"names an image in field {field!r}, which was not given; pass --image-column {field}"
        return AuditRow(key, problem=f"image not given: {problem}")
    return row


def _keys(records: list[Any], key_column: str | None) -> list[str]:
    numbers = [str(number) for number in range(len(records))]
    values = [record.get(key_column or "id") if isinstance(record, dict) else None for record in records]
    values = [value if isinstance(value, str | int | float) else None for value in values]
    if key_column is None and (None in values or len(set(map(str, values))) < len(values)):
        return numbers
    return [number if value is None else printable_key(str(value)) for number, value in zip(numbers, values)]
