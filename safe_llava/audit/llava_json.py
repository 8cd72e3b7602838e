"""LLaVA's JSON and the JSON lines of arXiv 2405.13581: rows that name image files and hold a conversation."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .audit_row import AuditRow, printable_key, question_of


_IMAGE_COLUMNS = ("image", "images")
_TEXT_COLUMNS = ("conversations", "messages")
_SEPARATOR = "<split>"


def list_json(
    path: Path,
    image_folder: Path,
    image_columns: tuple[str, ...] = (),
    text_column: str | None = None,
    key_column: str | None = None,
) -> Iterator[AuditRow]:
    """
    The rows of a `.json` file (a list of objects) or a `.jsonl` file (an object a line).

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
        ValueError: if the file is no JSON, or a field that was named is in no row.
    """
    records = _read_records(path)
    objects = [record for record in records if isinstance(record, dict)]
    for column in (*image_columns, *filter(None, (text_column, key_column))):
        if not any(column in record for record in objects):
            fields = sorted({field for record in objects[:100] for field in record})
            raise ValueError(f"{path} has no field {column!r}; its rows have {', '.join(fields) or 'no fields'}")
    keys = _keys(records, key_column)
    for key, record in zip(keys, records):
        if not isinstance(record, dict):
            problem = str(record) if isinstance(record, ValueError) else f"not a JSON object but {record!r:.80}"
            yield AuditRow(key, problem=f"not a row: {problem}")
            continue
        try:
            names = [name for column in image_columns or _IMAGE_COLUMNS for name in _names(record.get(column))]
            found = text_column or next((column for column in _TEXT_COLUMNS if column in record), "")
            yield AuditRow(key, tuple((image_folder / name).absolute() for name in names), _question(record, found))
        except ValueError as error:
            yield AuditRow(key, problem=f"not a row: {error}")


def _read_records(path: Path) -> list[Any]:
    """The rows; a line that is no JSON is a `ValueError` in its place."""
    if path.suffix == ".json":
        try:
            records = json.loads(path.read_bytes())
        except ValueError as error:
            raise ValueError(
                f"{path} is not valid JSON: {error}. A file with an object a line is called .jsonl"
            ) from error
        if not isinstance(records, list):
            raise ValueError(
                f"{path} should hold a list of objects, as LLaVA's files do, not {type(records).__name__}"
            )
        return records
    return [_parse(line) for line in path.read_bytes().split(b"\n") if line.strip()]


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError as error:
        return ValueError(f"invalid JSON ({error})")


def _keys(records: list[Any], key_column: str | None) -> list[str]:
    numbers = [str(number) for number in range(len(records))]
    values = [record.get(key_column or "id") if isinstance(record, dict) else None for record in records]
    if key_column is None and (None in values or len(set(map(str, values))) < len(values)):
        return numbers
    return [number if value is None else printable_key(str(value)) for number, value in zip(numbers, values)]


def _names(value: Any) -> list[str]:
    if value is None or value == "":
        return []
    if isinstance(value, str):
        return [name.strip() for name in value.split(_SEPARATOR)]
    if isinstance(value, list) and all(isinstance(name, str) for name in value):
        return value
    raise ValueError(f"images are a file name or a list of file names, not {value!r:.80}")


def _question(record: dict[str, Any], column: str) -> str | None:
    text = question_of(record.get(column))
    # Half of a surrogate pair, which JSON can spell and neither UTF-8 nor a tokenizer can hold.
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")
