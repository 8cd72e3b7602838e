"""The JSON lines format of "Safety Alignment for Vision Language Models" (arXiv 2405.13581).

One JSON object a line: `safe_level`, `safe_type`, `image` (a file name, or two joined by `<split>`; absent or empty
for text alone) and `conversations`, a list of `{"from": "human" | "gpt", "value": text}` in which `<image>` marks each
image's place.
"""

import json
import re
from pathlib import Path
from typing import Any

from .label_parsing import parse_labels
from .turn_checks import IMAGE_PLACEHOLDER, conversation_problems


_IMAGE_SEPARATOR = "<split>"
_UNPAIRED_SURROGATE = re.compile("[\ud800-\udfff]")
_LABELS = {"safety_level": "safe_level", "safety_type": "safe_type"}
_ROLES = {"human": "user", "gpt": "assistant", "system": "system"}


def parse_author_line(line: bytes, image_folder: Path) -> tuple[dict[str, Any], list[str]]:
    """
    Turns one line into a row of our columns. Images are not opened.

    Args:
        line (`bytes`): the line as it stands in the file.
        image_folder (`Path`): folder that relative file names start from.

    Returns:
        `tuple[dict, list[str]]`: the row (`messages`, `images` as paths, and the labels as
        [`~safe_llava.data.label_parsing.parse_labels`] gives them), to be used only if nothing is wrong; and
        everything that is wrong.
    """
    try:
        record = json.loads(line)
    except ValueError as error:
        return {}, [f"not valid JSON ({error})"]
    if not isinstance(record, dict):
        return {}, ["not a JSON object"]
    if _UNPAIRED_SURROGATE.search(json.dumps(record, ensure_ascii=False)):
        return {}, ["the text has an unpaired surrogate (half of a \\ud800-\\udfff escape), which UTF-8 cannot hold"]

    missing = [name for name in _LABELS.values() if name not in record]
    row, wrong_labels = parse_labels(record, _LABELS)
    problems = [f"'{name}' is missing; write null where it is not known" for name in missing] + wrong_labels

    names = record.get("image") or ""
    if isinstance(names, str):
        row["images"] = [image_folder / name.strip() for name in names.split(_IMAGE_SEPARATOR) if name.strip()]
        if names and len(row["images"]) != names.count(_IMAGE_SEPARATOR) + 1:
            problems.append(f"'image' has an empty file name beside {_IMAGE_SEPARATOR}: {names!r}")
    else:
        row["images"] = []
        problems.append(f"'image' must be a file name, not {names!r}")

    turns = record.get("conversations")
    if not isinstance(turns, list) or not all(_is_turn(turn) for turn in turns):
        problems.append("'conversations' must be a list of {'from': ..., 'value': text}")
    else:
        row["messages"] = [
            {"role": _ROLES.get(turn["from"], turn["from"]), "content": _parts(turn["value"])} for turn in turns
        ]
        problems += conversation_problems(row["messages"], len(row["images"]))
    return row, problems


def _is_turn(turn: Any) -> bool:
    return isinstance(turn, dict) and isinstance(turn.get("from"), str) and isinstance(turn.get("value"), str)


def _parts(value: str) -> list[dict[str, str]]:
    """Split a turn at its placeholders: "<image>\\nWho?" becomes an image and the text "Who?"."""
    parts: list[dict[str, str]] = []
    for position, text in enumerate(value.split(IMAGE_PLACEHOLDER)):
        if position:
            parts.append({"type": "image"})
        if text.strip():
            parts.append({"type": "text", "text": text.strip()})
    return parts
