"""Reads published tables, and says of a wrong one which file, row and field is wrong and what was expected."""

import csv
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet


class PublishedFileError(ValueError):
    """Published files are not as their authors publish them; the message says where."""


@dataclass(frozen=True)
class Record:
    """
    One row of a table, which knows where it stands.

    Args:
        place (`str`): file and row, for messages.
        values (`dict`): the row's fields.
    """

    place: str
    values: dict[str, Any]

    def refuse(self, field: str, expected: str) -> PublishedFileError:
        """
        The error to raise for a field.

        Args:
            field (`str`): the field.
            expected (`str`): what it should have held, in words.

        Returns:
            [`PublishedFileError`]
        """
        if field not in self.values:
            return PublishedFileError(
                f"{self.place}: the field {field!r} is missing; it has {', '.join(map(repr, self.values))}. "
                f"Expected {expected}."
            )
        return PublishedFileError(
            f"{self.place}: the field {field!r} must be {expected}, not {_short(self.values[field])}."
        )

    def text(self, field: str) -> str:
        """A text that is not empty, without the blanks around it."""
        value = self.values.get(field)
        if not isinstance(value, str) or not value.strip():
            raise self.refuse(field, "text that is not empty")
        return value.strip()

    def question(self, field: str) -> str:
        """
        What the user asks, without the blanks around it; empty where the published row has the field and leaves it
        null or blank. Such a row asks nothing, and [`~safe_llava.evaluation.benchmarks.read_benchmark`] leaves it out.
        """
        return "" if str(self.values.get(field, field) or "").strip() == "" else self.text(field)

    def questions(self, field: str) -> list[str]:
        """A list of questions about the same images, each as in [`question`]."""
        value = self.values.get(field)
        if not isinstance(value, list) or not value:
            raise self.refuse(field, "a list of questions that is not empty")
        return [Record(f"{self.place}, {field}[{i}]", {field: asked}).question(field) for i, asked in enumerate(value)]

    def optional_text(self, field: str) -> str | None:
        """A text, or `None` where there is none or it is empty."""
        value = self.values.get(field)
        if value is not None and not isinstance(value, str):
            raise self.refuse(field, "text, or left out")
        return (value or "").strip() or None

    def key(self, field: str) -> str:
        """A number or a text that names something, as text."""
        value = self.values.get(field)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str) or not value.strip():
            raise self.refuse(field, "a whole number or text that is not empty")
        return value.strip()

    def flag(self, field: str) -> bool:
        """`true` or `false`."""
        value = self.values.get(field)
        if not isinstance(value, bool):
            raise self.refuse(field, "true or false")
        return value

    def choice(self, field: str, options: Iterable[str]) -> str:
        """One of the texts that are known."""
        value, options = self.values.get(field), list(options)
        if not isinstance(value, str) or value.strip() not in options:
            raise self.refuse(field, f"one of {', '.join(map(repr, options))}")
        return value.strip()

    def texts(self, field: str, length: int | None = None) -> list[str]:
        """A list of texts that are not empty, of the given length."""
        value = self.values.get(field)
        if (
            not isinstance(value, list)
            or not all(isinstance(text, str) and text.strip() for text in value)
            or (length is not None and len(value) != length)
        ):
            raise self.refuse(field, f"a list of {'' if length is None else f'{length} '}texts that are not empty")
        return [text.strip() for text in value]

    def records(self, field: str) -> list["Record"]:
        """A list of objects that is not empty."""
        value = self.values.get(field)
        if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
            raise self.refuse(field, "a list of objects that is not empty")
        return [Record(f"{self.place}, {field}[{index}]", item) for index, item in enumerate(value)]


def find_table(path: Path, names: Sequence[str]) -> Path:
    """
    The table of a public set or benchmark.

    Args:
        path (`Path`): the downloaded folder, or the table itself.
        names (`Sequence[str]`): where the table stands in the layouts that are published, the most usual one first.

    Returns:
        `Path`: the first of `names` that is there.

    Raises:
        PublishedFileError: if there is none, with what the folder holds.
    """
    if path.is_file():
        return path
    for name in names:
        if (path / name).is_file():
            return path / name
    found = ", ".join(sorted(item.name for item in path.iterdir())[:10]) or "nothing"
    raise PublishedFileError(f"{path} must hold {' or '.join(names)}; it holds {found}.")


def require_files(name: str, files: Iterable[Path]) -> None:
    """
    Raises where files are missing.

    Args:
        name (`str`): what they belong to, for the message.
        files (`Iterable[Path]`): all that must be there.

    Raises:
        PublishedFileError: if some are not, naming all of them.
    """
    if missing := [str(file) for file in files if not file.is_file()]:
        raise PublishedFileError(f"{len(missing)} files of {name} are missing: {', '.join(missing)}.")


def check_split(name: str, split: str | None, splits: Sequence[str]) -> None:
    """
    Refuses a split that does not exist.

    Args:
        name (`str`): what they belong to, for the message.
        split (`str`, *optional*): what was asked for.
        splits (`Sequence[str]`): those that it has.

    Raises:
        ValueError: if the split is none of them.
    """
    if split is not None and split not in splits:
        known = f"it has {', '.join(splits)}" if splits else "it has none; leave the split out"
        raise ValueError(f"{name} has no split {split!r}: {known}.")


def read_csv(path: Path, columns: Sequence[str]) -> list[Record]:
    """
    Reads a CSV file in UTF-8, with or without a byte order mark.

    Args:
        path (`Path`): the file.
        columns (`Sequence[str]`): those that it must have.

    Returns:
        `list[Record]`: the rows.

    Raises:
        PublishedFileError: if the file is of another form or has no rows.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            header = reader.fieldnames or []
            if missing := [name for name in columns if name not in header]:
                raise PublishedFileError(
                    f"{path}, line 1: the columns {', '.join(map(repr, missing))} are missing; it has "
                    f"{', '.join(map(repr, header)) or 'none'}. Expected commas between columns."
                )
            rows = []
            for values in reader:
                record = Record(f"{path}, line {reader.line_num}", values)
                if None in values or None in values.values():
                    raise PublishedFileError(
                        f"{record.place}: the row has {'more' if None in values else 'fewer'} fields than the "
                        f"header's {len(header)}. A text with a comma must stand in double quotes."
                    )
                rows.append(record)
        except (csv.Error, UnicodeDecodeError) as error:
            raise PublishedFileError(f"{path}, after line {reader.line_num}: no CSV in UTF-8 ({error}).") from error
    return _not_empty(path, rows)


def read_json(path: Path) -> list[Record]:
    """
    Reads the objects of a JSON file.

    Args:
        path (`Path`): holds a list of objects, or an object of them, whose keys come as the field `"key"`.

    Returns:
        `list[Record]`: the rows.

    Raises:
        PublishedFileError: if the file is of another form or has no rows.
    """
    values = _parse(path, path.read_bytes())
    if isinstance(values, list):
        return _not_empty(path, [_record(f"{path}, item {i}", value) for i, value in enumerate(values)])
    if isinstance(values, dict):
        rows = [_record(f"{path}, entry {key!r}", value) for key, value in values.items()]
        return _not_empty(path, [Record(row.place, {"key": key, **row.values}) for key, row in zip(values, rows)])
    raise PublishedFileError(f"{path}: expected a list or an object of objects, not {_short(values)}.")


def read_json_lines(path: Path) -> list[Record]:
    """
    Reads a file with one JSON object a line; empty lines do not count.

    Args:
        path (`Path`): the file.

    Returns:
        `list[Record]`: the rows.

    Raises:
        PublishedFileError: if the file is of another form or has no rows.
    """
    lines = enumerate(path.read_bytes().split(b"\n"), start=1)
    places = [(f"{path}, line {number}", line) for number, line in lines if line.strip()]
    return _not_empty(path, [_record(place, _parse(place, line)) for place, line in places])


def read_parquet(path: Path, columns: Sequence[str]) -> list[Record]:
    """
    Reads a parquet file.

    Args:
        path (`Path`): the file.
        columns (`Sequence[str]`): those that it must have.

    Returns:
        `list[Record]`: the rows.

    Raises:
        PublishedFileError: if the file is of another form or has no rows.
    """
    try:
        table = pyarrow.parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise PublishedFileError(f"{path}: no parquet file ({error}).") from error
    if missing := [name for name in columns if name not in table.column_names]:
        raise PublishedFileError(
            f"{path}: the columns {', '.join(map(repr, missing))} are missing; it has "
            f"{', '.join(map(repr, table.column_names))}."
        )
    return _not_empty(path, [Record(f"{path}, row {i}", values) for i, values in enumerate(table.to_pylist())])


def _parse(place: Path | str, encoded: bytes) -> Any:
    try:
        return json.loads(encoded.decode("utf-8-sig"))
    except ValueError as error:
        raise PublishedFileError(f"{place}: no JSON in UTF-8 ({error}).") from error


def _record(place: str, value: Any) -> Record:
    if not isinstance(value, dict):
        raise PublishedFileError(f"{place}: expected an object with named fields, not {_short(value)}.")
    return Record(place, value)


def _not_empty(path: Path, rows: list[Record]) -> list[Record]:
    if not rows:
        raise PublishedFileError(f"{path} has no rows.")
    return rows


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
