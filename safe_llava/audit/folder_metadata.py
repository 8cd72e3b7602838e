"""What `metadata.jsonl`, `.csv` or `.parquet` in a folder of images says about them, as `datasets` reads it too."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ..data.csv_records import read_csv_records
from ..data.json_records import read_records
from .audit_row import AuditRow, printable_key, read_row


METADATA_FILES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
_NAMES = ("file_name", "file_names")


def described_rows(
    folder: Path, metadata: list[Path], text_column: str | None, key_column: str | None, seen: set[Path]
) -> Iterator[AuditRow]:
    """
    The rows of a folder's metadata: each is one or several images with their conversation, or text only.

    Args:
        folder (`Path`): the folder.
        metadata (`list[Path]`): its files of that name, at any depth; images are named from where each lies.
        text_column (`str`, *optional*): field of the question. Defaults to the conversation.
        key_column (`str`, *optional*): field of the key. Defaults to the name of the first image.
        seen (`set[Path]`): gets the images that are named.

    Yields:
        [`AuditRow`]
    """
    for file in metadata:
        for number, record in _read(file).items():
            place = printable_key(f"{file.relative_to(folder).as_posix()}/{number}")
            if not isinstance(record, dict):
                yield AuditRow(place, problem=f"not a row: {record}")
                continue
            fields = [field for field in record if field.endswith(_NAMES)]
            row = read_row(place, record, tuple(fields), text_column, file.parent.absolute())
            seen.update(Path(os.path.normpath(image)) for image in row.images if isinstance(image, Path))
            named = None if key_column is None else record.get(key_column)
            if named is None and row.images and isinstance(row.images[0], Path):
                named = _relative(row.images[0], folder.absolute())
            yield AuditRow(place if named is None else printable_key(str(named)), row.images, row.text, row.problem)


def _read(file: Path) -> dict[int, Any]:
    if file.suffix == ".parquet":
        return dict(enumerate(pq.read_table(file).to_pylist(), start=1))
    return read_csv_records(file) if file.suffix == ".csv" else read_records(file)


def _relative(image: Path, folder: Path) -> str:
    return image.relative_to(folder).as_posix() if image.is_relative_to(folder) else str(image)
