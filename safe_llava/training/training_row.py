"""A row of training data, under the names that trl knows, with everything that a batch takes of it."""

from collections.abc import Collection
from typing import Any

from ..data.label_parsing import SET_COLUMNS, is_labelled, parse_labels


SAFETY_COLUMNS = tuple(SET_COLUMNS)
LABEL_COLUMNS = (*SAFETY_COLUMNS, *SET_COLUMNS.values())
HEAD_ONLY_COLUMN = "head_only"


def column_problem(columns: Collection[str]) -> str | None:
    """
    Why a data set cannot be trained on, by the names of its columns.

    Args:
        columns (`Collection[str]`): the names.

    Returns:
        `str`, *optional*
    """
    has_pair = {"prompt", "completion"} & set(columns)
    if ("image" in columns) == ("images" in columns):
        return (
            "has both `image` and `images`"
            if "image" in columns
            else ("has no `images` column; give text-only rows an empty list")
        )
    if ("messages" in columns) == bool(has_pair):
        return "needs either `messages`, or `prompt` and `completion`"
    if len(has_pair) == 1:
        return "needs `prompt` and `completion` together"
    if len(set(columns) & set(SAFETY_COLUMNS)) == 1:
        return "needs `safety_level` and `safety_type` together; -100 stands for what is not known"
    for name in ("tools", "chat_template_kwargs"):
        if name in columns:
            return f"has a column `{name}`, which has no effect on images; remove it"
    return None


def row_images(row: dict[str, Any]) -> list[Any]:
    """The images of a row, of which `image` holds one and `images` any number."""
    if "image" in row:
        return [] if row["image"] is None else [row["image"]]
    return list(row["images"] or [])


def row_labels(row: dict[str, Any]) -> dict[str, Any] | None:
    """
    Level and type of a row as [`~safe_llava.data.label_parsing.parse_labels`] gives them; `None` where it has no such
    columns.

    Args:
        row (`dict`): a row, labels as indices or as names, one or several.

    Raises:
        ValueError: if one is no label, or if the two contradict each other.
    """
    if not any(name in row for name in LABEL_COLUMNS):
        return None
    labels, problems = parse_labels(row)
    if problems:
        raise ValueError(f"The labels of a row are wrong: {'; '.join(problems)}.")
    return labels


def is_head_only(row: dict[str, Any]) -> bool:
    """
    Whether a row is said to have no answer, so that only the safety head learns from it.

    Args:
        row (`dict`): a row of `messages`.

    Raises:
        ValueError: if it ends with an answer all the same, or has no label, so that nothing would learn from it.
    """
    if not row.get(HEAD_ONLY_COLUMN):
        return False
    if not row.get("messages") or row["messages"][-1]["role"] != "user":
        raise ValueError(
            f"A row of which `{HEAD_ONLY_COLUMN}` is true needs `messages` that end with the user's turn."
        )
    if not is_labelled(row_labels(row) or {}):
        raise ValueError("A row has neither an answer nor a safety label: there is nothing to learn from it.")
    return True
