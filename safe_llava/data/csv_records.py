"""Rows of a csv file, as rows of JSON would hold them."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .json_records import unpack
from .row_conversation import ANSWER_FIELDS, CONVERSATION_FIELDS, QUESTION_FIELDS


_LONGEST_CELL = 1 << 30


def read_csv_records(path: Path) -> dict[int, Any]:
    """
    Reads the rows of a csv file, with tabs between its cells where it is called `.tsv`. An empty cell is null.

    Args:
        path (`Path`): a file in UTF-8, as it is or in `.gz`, whose first line names the columns.

    Returns:
        `dict[int, Any]`: the rows by the line that each ends in. One that cannot be read is a `ValueError` in its
        place.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it is no csv in UTF-8, or has two columns of one name.
    """
    csv.field_size_limit(_LONGEST_CELL)
    delimiter = "\t" if path.name.lower().removesuffix(".gz").endswith(".tsv") else ","
    try:
        text = io.StringIO(unpack(path).decode("utf-8-sig"), newline="")
        return dict(_rows(path, csv.reader(text, strict=True, delimiter=delimiter)))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no csv in UTF-8: {error}") from error


def require_conversation(path: Path, record: dict[str, Any]) -> None:
    """
    Makes sure that a csv file has one conversation a row.

    Args:
        path (`Path`): its name, for the message.
        record (`dict`): any of its rows.

    Raises:
        ValueError: if the columns are other than one of conversations, or one of questions and one of answers.
    """
    groups = (CONVERSATION_FIELDS, QUESTION_FIELDS, ANSWER_FIELDS)
    if [sum(name in record for name in group) for group in groups] not in ([1, 0, 0], [0, 1, 1]):
        turns, questions, answers = map(", ".join, groups)
        raise ValueError(
            f"{path} needs one column of conversations ({turns}), or one of questions ({questions}) and one of "
            f"answers ({answers}); it has {', '.join(record)}"
        )


def _rows(path: Path, lines: Any) -> Iterator[tuple[int, Any]]:
    names = [name.strip() for name in next(lines, [])]
    if len(set(names)) < len(names):
        raise ValueError(f"{path} has two columns of one name: {', '.join(names)}")
    for cells in lines:
        if len(cells) == len(names):
            yield lines.line_num, {name: cell if cell.strip() else None for name, cell in zip(names, cells)}
        elif cells:
            yield lines.line_num, ValueError(f"it has {len(cells)} cells for {len(names)} columns")
