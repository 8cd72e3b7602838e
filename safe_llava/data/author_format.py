"""Rows of LLaVA's JSON, with the labels of "Safety Alignment for Vision Language Models" (arXiv 2405.13581).

One JSON object a row: `safe_level`, `safe_type`, `image` (a file name, or two joined by `<split>`; absent or empty for
text alone) and `conversations`, a list of `{"from": "human" | "gpt", "value": text}` in which `<image>` marks each
image's place. Other spellings of the same are in `turn_reading.py`, `image_names.py` and `json_records.py`.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .image_names import image_names_of
from .label_parsing import parse_labels
from .turn_checks import conversation_problems
from .turn_reading import CONVERSATION_FIELDS, UnknownRoleError, find_conversation_field, parse_conversation


_UNPAIRED_SURROGATE = re.compile("[\ud800-\udfff]")
_LABELS = {"safety_level": ("safe_level", "safety_level"), "safety_type": ("safe_type", "safety_type")}
"""What our columns are called in rows of JSON."""


def parse_record(
    record: Any, image_folder: Path, labels: dict[str, Any] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """
    Turns one row of a JSON file into a row of our columns. Images are not opened.

    Args:
        record (`Any`): the row as [`read_records`] gives it.
        image_folder (`Path`): folder that relative file names start from.
        labels (`dict[str, Any]`, *optional*): the labels, of a file that has none. Defaults to those of the row.

    Returns:
        `tuple[dict, list[str]]`: the row (`messages`, `images` as paths, and the labels as
        [`~safe_llava.data.label_parsing.parse_labels`] gives them), to be used only if nothing is wrong; and
        everything that is wrong.
    """
    if isinstance(record, ValueError):
        return {}, [str(record)]
    if not isinstance(record, dict):
        return {}, ["not a JSON object"]
    if _UNPAIRED_SURROGATE.search(json.dumps(record, ensure_ascii=False, default=str)):
        return {}, ["the text has an unpaired surrogate (half of a \\ud800-\\udfff escape), which UTF-8 cannot hold"]

    row, problems = _parse_labels(record) if labels is None else (dict(labels), list[str]())
    try:
        row["images"] = [image_folder / name for name in image_names_of(record)]
    except ValueError as error:
        row["images"] = []
        problems.append(str(error))
    field = find_conversation_field(record)
    if all(name in record for name in CONVERSATION_FIELDS):
        problems.append(f"{' and '.join(map(repr, CONVERSATION_FIELDS))} say the same; keep one")
    try:
        row["messages"] = parse_conversation(record.get(field or ""))
    except ValueError as error:
        is_role = isinstance(error, UnknownRoleError)
        return row, [*problems, str(error) if is_role else f"'{field or 'conversations'}' {error}"]
    if field == "messages":
        _place_images(row["messages"], record[field], len(row["images"]))
    return row, problems + conversation_problems(row["messages"], len(row["images"]))


def has_labels(records: Iterable[dict[str, Any]]) -> bool:
    """Whether any of these rows has a label, under any of its names."""
    names = {name for spellings in _LABELS.values() for name in spellings}
    return any(names & record.keys() for record in records)


def _parse_labels(record: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    names, problems = {}, []
    for column, spellings in _LABELS.items():
        found = [name for name in spellings if name in record]
        names[column] = found[0] if found else spellings[0]
        if not found:
            problems.append(f"'{spellings[0]}' is missing; write null where it is not known")
        elif len(found) > 1:
            problems.append(f"{' and '.join(map(repr, found))} say the same; keep one")
    row, wrong_labels = parse_labels(record, names)
    return row, problems + wrong_labels


def _place_images(messages: list[dict[str, Any]], turns: list[dict[str, Any]], num_images: int) -> None:
    """Messages of plain text that mark no image have theirs before the first question, as in our columns."""
    has_mark = any(part["type"] == "image" for message in messages for part in message["content"])
    asked = [message for message in messages if message["role"] == "user"]
    if asked and not has_mark and all(isinstance(turn.get("content"), str) for turn in turns):
        asked[0]["content"] = [{"type": "image"}] * num_images + asked[0]["content"]
