"""LLaVA's JSON, as the training reads it too: rows that name image files and hold a conversation."""

import reprlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data.image_names import IMAGE_FIELDS, split_names
from ..data.json_records import read_records
from ..data.turn_reading import find_conversation_field
from .audit_row import AuditRow, make_row, printable_key
from .image_references import EmptyImageError, find_reference, images_of


def list_json(
    path: Path,
    image_folder: Path,
    image_columns: tuple[str, ...] = (),
    text_column: str | None = None,
    key_column: str | None = None,
) -> Iterator[AuditRow]:
    """
    The rows of a JSON file in any of the forms that [`~safe_llava.data.json_records.read_records`] reads.

    Args:
        path (`Path`): the file.
        image_folder (`Path`): the folder that image names start from.
        image_columns (`tuple[str, ...]`, *optional*):
            Fields that name the images: a name, a list of names, or names joined by `<split>`. Defaults to "image"
            and "images", where they are.
        text_column (`str`, *optional*):
            Field of the question, a text or a conversation. Defaults to "conversations" or "messages", where they are.
        key_column (`str`, *optional*):
            Field of the key. Defaults to "id" where every row has one of its own (LLaVA's own files repeat some), else
            to the row's number, from 0.

    Yields:
        [`AuditRow`]. Where a row cannot be understood it says so in `problem`.

    Raises:
        ValueError: if the file cannot be read, a field that was named is in no row, or no row names an image.
    """
    records = list(read_records(path).values())
    objects = [record for record in records if isinstance(record, dict)]
    for column in (*image_columns, *filter(None, (text_column, key_column))):
        if not any(column in record for record in objects):
            fields = sorted({field for record in objects[:100] for field in record})
            raise ValueError(f"{path} has no field {column!r}; its rows have {', '.join(fields) or 'no fields'}")
    keys = _keys(records, key_column)
    rows = [_row(key, record, image_folder, image_columns, text_column) for key, record in zip(keys, records)]
    if rows and not any(row.images or row.problem for row in rows):
        raise ValueError(
            f"{path}: no row names an image. Images are sought in the fields {', '.join(map(repr, IMAGE_FIELDS))}; "
            "name another one: --image-column"
        )
    yield from rows


def _row(
    key: str, record: Any, image_folder: Path, image_columns: tuple[str, ...], text_column: str | None
) -> AuditRow:
    if not isinstance(record, dict):
        problem = (
            str(record) if isinstance(record, ValueError) else f"not a JSON object but {reprlib.repr(record):.80}"
        )
        return AuditRow(key, problem=f"not a row: {problem}")
    found = text_column or find_conversation_field(record) or ""
    try:
        split = {field: split_names(record[field]) for field in image_columns or IMAGE_FIELDS if field in record}
        images = images_of(split, tuple(split))
        if not all(isinstance(image, str) for image in images):
            raise ValueError("images are a file name or a list of file names")
        if not images and (field := find_reference(record, (found,))) is not None:
            problem = f"names an image in field {field!r}, which was not given; pass --image-column {field}"
            return AuditRow(key, problem=f"image not given: {problem}")
    except EmptyImageError as error:
        return AuditRow(key, problem=f"no image: {error}")
    except ValueError as error:
        return AuditRow(key, problem=f"not a row: {error}")
    row = make_row(key, images, record.get(found))
    # Half of a surrogate pair, which JSON can spell and neither UTF-8 nor a tokenizer can hold.
    text = None if row.text is None else row.text.encode("utf-8", "replace").decode("utf-8")
    return replace(row, images=tuple((image_folder / _encodable(name)).absolute() for name in images), text=text)


def _keys(records: list[Any], key_column: str | None) -> list[str]:
    numbers = [str(number) for number in range(len(records))]
    values = [record.get(key_column or "id") if isinstance(record, dict) else None for record in records]
    values = [value if isinstance(value, str | int | float) else None for value in values]
    if key_column is None and (None in values or len(set(map(str, values))) < len(values)):
        return numbers
    return [number if value is None else printable_key(str(value)) for number, value in zip(numbers, values)]


def _encodable(name: str) -> str:
    """A file name that the operating system can be asked for; half of a surrogate pair stands for no file."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
