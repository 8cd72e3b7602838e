"""Which of our own files with labels of people a source is: told by what it begins with, not by its name."""

import json
import re
from enum import Enum
from pathlib import Path
from typing import Any

from ..data.json_records import unpack


TICKS_FORMAT = "safe-llava audit ticks"
_TICKS = re.compile(rb'\s*\{[^{}\[\]]*"format":\s*"' + TICKS_FORMAT.encode() + b'"')
_TICKS_CSV = re.compile(rb"\W*key,tick,lists,")
_HEAD = 1 << 20


class LabelledFile(Enum):
    """What somebody labelled; the values are words for messages."""

    LOG = "an audit log"
    TICKS = "the ticks of an audit"
    RATINGS = "ratings of a review"


def labelled_file(source: str) -> LabelledFile | None:
    """
    What a source is, where it is a file that one of our commands or pages wrote for people to label.

    Args:
        source (`str`): whatever rows may come from.

    Returns:
        [`LabelledFile`], or `None` where it is something else.

    Raises:
        ValueError: if it is ticks of an audit as CSV, which does not say what they were drawn from.
    """
    path = Path(source)
    if not path.is_file():
        return None
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head.startswith(b"\x1f\x8b"):
        head = unpack(path)[:_HEAD]
    if _TICKS_CSV.match(head):
        raise ValueError(
            f"{source} has the ticks of an audit as CSV, which does not say of how many rows they are samples. Import "
            "it into the report of the audit, and export the ticks from there as JSON."
        )
    if _TICKS.match(head):
        return LabelledFile.TICKS
    fields = _first_record(head.decode(errors="replace")).keys()
    if {"time", "event"} <= fields:
        return LabelledFile.LOG
    return LabelledFile.RATINGS if {"rater", "id"} <= fields else None


def _first_record(text: str) -> dict[str, Any]:
    """The first object of a file of JSON, in whatever form; nothing where there is none."""
    try:
        record, _ = json.JSONDecoder().raw_decode(text.lstrip("\ufeff \t\r\n["))
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
