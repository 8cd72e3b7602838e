"""Labels as people read them."""

from collections.abc import Mapping
from typing import Any

from ..models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from .label_parsing import SET_COLUMNS, UNLABELLED


UNKNOWN = "unknown"
_NAMES = dict(zip(SET_COLUMNS, (SAFETY_LEVELS, SAFETY_TYPES)))


def label_words(row: Mapping[str, Any]) -> tuple[str, str]:
    """
    The level and the type of a row, such as `("low or medium", "insults bullying")`, or `"unknown"`.

    Args:
        row (`Mapping`): a row with both labels as indices, and with their sets where it has some.
    """
    level, kind = (_words(row, label, column) for label, column in SET_COLUMNS.items())
    return level, kind


def _words(row: Mapping[str, Any], label: str, column: str) -> str:
    classes = row.get(column) or [row[label]]
    names = [_NAMES[label][index].replace("_", " ") for index in classes if index != UNLABELLED]
    return " or ".join(names) or UNKNOWN
