"""Rows of LLaVA's JSON, with the labels of "Safety Alignment for Vision Language Models" (arXiv 2405.13581).

One object a row: `safe_level`, `safe_type`, `image` (a file name, or two joined by `<split>`; absent or null for text
alone) and `conversations`, a list of `{"from": "human" | "gpt", "value": text}` in which `<image>` marks each
image's place. Other spellings of the same are in `turn_reading.py`, `row_conversation.py` and
`image_values.py`; files that hold such rows in `json_records.py`, `csv_records.py` and `tar_samples.py`.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .image_cells import as_cell
from .image_references import find_reference, find_reference_in_turns
from .image_values import IMAGE_FIELDS, images_of, names_in
from .label_parsing import parse_labels
from .row_conversation import TEXT_FIELDS, conversation_of
from .turn_checks import conversation_problems
from .turn_reading import UnknownRoleError, parse_conversation


_UNPAIRED_SURROGATE = re.compile("[\ud800-\udfff]")
_LABELS = {"safety_level": ("safe_level", "safety_level"), "safety_type": ("safe_type", "safety_type")}
"""What our columns are called in rows of JSON."""


def parse_record(
    record: Any, image_folder: Path | None, labels: dict[str, Any] | None = None
) -> tuple[dict[str, Any], list[str]]:
    """
    Turns one row of a file into a row of our columns. Images are not opened.

    Args:
        record (`Any`): the row, or the `ValueError` that says why it could not be read.
        image_folder (`Path`, *optional*): folder that relative file names start from.
        labels (`dict[str, Any]`, *optional*): the labels, of a file that has none. Defaults to those of the row.

    Returns:
        `tuple[dict, list[str]]`: the row (`messages`, `images` as cells of a dataset, and the labels as
        [`~safe_llava.data.label_parsing.parse_labels`] gives them), to be used only if nothing is wrong; and
        everything that is wrong.
    """
    if isinstance(record, ValueError):
        return {}, [str(record)]
    if not isinstance(record, dict):
        return {}, ["not a JSON object"]
    if _UNPAIRED_SURROGATE.search(json.dumps(record, ensure_ascii=False, default=str)):
        return {}, ["the text has an unpaired surrogate (half of a \\ud800-\\udfff escape), which UTF-8 cannot hold"]

    row, problems = labels_of_record(record) if labels is None else (dict(labels), list[str]())
    row["images"] = []
    try:
        row["images"] = [as_cell(image) for image in images_of(record, folder=image_folder)]
    except ValueError as error:
        problems.append(str(error))
    try:
        row["messages"], turns = parse_messages(record, len(row["images"]))
    except ValueError as error:
        return row, [*problems, str(error)]
    if not row["images"] and (field := find_reference(record, (*IMAGE_FIELDS, *TEXT_FIELDS))) is not None:
        problems.append(f"it has no image, but names one in '{field}'; name it in 'image' or 'images'")
    elif (field := find_reference_in_turns(turns, names_in(record))) is not None:
        problems.append(f"a turn names an image in '{field}'; name it in 'image' or 'images' of the row")
    return row, problems + conversation_problems(row["messages"], len(row["images"]))


def parse_messages(record: Mapping[str, Any], num_images: int) -> tuple[list[dict[str, Any]], Any]:
    """
    The conversation of a row as messages of chat templates.

    Args:
        record (`Mapping`): the row, or those of its fields that [`conversation_of`] knows.
        num_images (`int`): how many images it has; plain text that marks none has them before the first question.

    Returns:
        `tuple[list[dict], Any]`: the messages; and the turns as they were.

    Raises:
        ValueError: if it has no conversation, or one that cannot be read.
    """
    field, turns = conversation_of(record)
    try:
        messages = parse_conversation(turns)
    except UnknownRoleError:
        raise
    except ValueError as error:
        raise ValueError(f"'{field}' {error}") from error
    if field == "messages":
        _place_images(messages, turns, num_images)
    return messages, turns


def has_labels(records: Iterable[dict[str, Any]]) -> bool:
    """Whether any of these rows has a label, under any of its names."""
    names = {name for spellings in _LABELS.values() for name in spellings}
    return any(names & record.keys() for record in records)


def labels_of_record(record: dict[str, Any], may_lack: bool = False) -> tuple[dict[str, Any], list[str]]:
    """
    The labels of a row under whichever of their names it has them.

    Args:
        record (`dict[str, Any]`): the row.
        may_lack (`bool`, *optional*, defaults to `False`): whether a label that is not there is one not known.

    Returns:
        `tuple[dict, list[str]]`: as from [`~safe_llava.data.label_parsing.parse_labels`].
    """
    names, problems = {}, []
    for column, spellings in _LABELS.items():
        found = [name for name in spellings if name in record]
        names[column] = found[0] if found else spellings[0]
        if not found and not may_lack:
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
