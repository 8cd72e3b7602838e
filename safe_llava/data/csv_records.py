"""Rows of a csv file, as rows of JSON would hold them."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .turn_reading import CONVERSATION_FIELDS


_QUESTIONS = ("question", "prompt")
_ANSWERS = ("answer", "response", "completion")
_LONGEST_CELL = 1 << 30


def is_csv_name(source: str | Path) -> bool:
    """Whether a source is named like a file that [`read_csv_records`] reads."""
    return str(source).lower().endswith(".csv")


def read_csv_records(path: Path) -> dict[int, Any]:
    """
    Reads the rows of a csv file. An empty cell is null.

    Args:
        path (`Path`):
            A file in UTF-8 whose first line names the columns: one conversation in JSON (`conversations`, `messages`),
            or a question (`question`, `prompt`) and its answer (`answer`, `response`, `completion`), beside whatever
            else a row of JSON has.

    Returns:
        `dict[int, Any]`: the rows by the line that each ends in. One that cannot be read is a `ValueError` in its
        place.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is no csv in UTF-8, or its columns are not as described.
    """
    csv.field_size_limit(_LONGEST_CELL)
    try:
        return dict(_rows(path, csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline=""), strict=True)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no csv in UTF-8: {error}") from error


def _rows(path: Path, lines: Any) -> Iterator[tuple[int, Any]]:
    names = [name.strip() for name in next(lines, [])]
    texts = [[name for name in group if name in names] for group in (CONVERSATION_FIELDS, _QUESTIONS, _ANSWERS)]
    if len(set(names)) < len(names):
        raise ValueError(f"{path} has two columns of one name: {', '.join(names)}")
    if names and [len(found) for found in texts] not in ([1, 0, 0], [0, 1, 1]):
        raise ValueError(
            f"{path} needs one column of conversations ({', '.join(CONVERSATION_FIELDS)}), or one of questions "
            f"({', '.join(_QUESTIONS)}) and one of answers ({', '.join(_ANSWERS)}); it has {', '.join(names)}"
        )
    for cells in lines:
        if not cells:
            continue
        if len(cells) != len(names):
            yield lines.line_num, ValueError(f"it has {len(cells)} cells for {len(names)} columns")
            continue
        record: dict[str, Any] = {name: cell if cell.strip() else None for name, cell in zip(names, cells)}
        yield lines.line_num, _with_conversation(record, *texts)


def _with_conversation(record: dict[str, Any], fields: list[str], questions: list[str], answers: list[str]) -> Any:
    if not fields:
        said = (record.pop(questions[0]), record.pop(answers[0]))
        turns = [{"role": role, "content": text} for role, text in zip(("user", "assistant"), said)]
        return {**record, "messages": turns}
    try:
        return {**record, fields[0]: json.loads(record[fields[0]] or "null")}
    except (ValueError, RecursionError) as error:
        return ValueError(f"'{fields[0]}' is invalid JSON ({error})")
