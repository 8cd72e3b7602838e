"""Risk labels as data files spell them, turned into the class indices of the safety head."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from ..models.safety_labels import SAFE_TYPE_ID, SAFETY_LEVELS, SAFETY_TYPES


UNLABELLED = -100
# For each label the column that holds the possible classes where there are several, and not all.
SET_COLUMNS = {"safety_level": "possible_levels", "safety_type": "possible_types"}
_CLASSES = {"safety_level": (SAFETY_LEVELS, 0), "safety_type": (SAFETY_TYPES, SAFE_TYPE_ID)}


def parse_safety_level(value: object) -> int:
    """
    Turns a risk level as found in a data file into its index in `SAFETY_LEVELS`.

    Args:
        value (`int` or `str`): an index from 0 to 3, the same as a string, or a name out of `SAFETY_LEVELS`.

    Raises:
        ValueError: if the value is none of these.
    """
    return _parse(value, SAFETY_LEVELS)


def parse_safety_type(value: object) -> int:
    """
    Turns a risk type as found in a data file into its index in `SAFETY_TYPES`.

    Args:
        value (`int` or `str`):
            An index from 0 to 6, the same as a string, or a name out of `SAFETY_TYPES`. Names may be written with
            spaces, hyphens, capitals and "and", as in "Insults and bullying".

    Raises:
        ValueError: if the value is none of these.
    """
    return _parse(value, SAFETY_TYPES)


def parse_labels(row: Mapping[str, Any], names: Mapping[str, str] | None = None) -> tuple[dict[str, Any], list[str]]:
    """
    Reads what a row says about its level and its type: one class each, several of which one is right, or nothing
    (`None`, -100). What one of the two leaves open is narrowed by the other: a row of type "privacy" has some risk.

    Args:
        row (`Mapping[str, Any]`):
            The row. A label is a class, by index or name, or a list of classes; "risky" stands for every class but
            the harmless one.
        names (`Mapping[str, str]`, *optional*):
            What `safety_level` and `safety_type` are called in this row. By default just that.

    Returns:
        `tuple[dict, list[str]]`: `safety_level` and `safety_type` as indices, -100 where not one class alone is
        possible, and `possible_levels` and `possible_types` as lists of indices, empty unless several are possible
        and not all; then everything that is wrong, in which case the labels are not to be used.
    """
    possible, problems = {}, []
    for label, column in SET_COLUMNS.items():
        name = label if names is None else names[label]
        try:
            possible[label] = _parse_possible(row.get(name), label)
            if row.get(column) is not None and len(row[column]):
                possible[label] &= _parse_possible(row[column], label)
        except ValueError as error:
            problems.append(f"'{name}': {error}")
            continue
        if not possible[label]:
            problems.append(f"'{name}' {row.get(name)!r} is not among '{column}' {row[column]!r}")
    if not problems and (disagreement := label_disagreement(*possible.values())):
        problems.append(disagreement)
    if problems:
        return {}, problems
    pairs = _possible_pairs(*possible.values())
    labels: dict[str, Any] = {}
    for (label, column), classes in zip(SET_COLUMNS.items(), map(set, zip(*pairs))):
        is_set = 1 < len(classes) < len(_CLASSES[label][0])
        labels[label] = UNLABELLED if len(classes) > 1 else classes.pop()
        labels[column] = sorted(classes) if is_set else []
    return labels, []


def is_labelled(labels: Mapping[str, Any]) -> bool:
    """Whether labels as [`parse_labels`] gives them say anything."""
    return any(labels and (labels[label] != UNLABELLED or labels[column]) for label, column in SET_COLUMNS.items())


def label_disagreement(level: int | Collection[int], risk_type: int | Collection[int]) -> str | None:
    """
    Says why a level and a type contradict each other: level "none" goes with type "safe", and only with it.

    Args:
        level (`int` or `Collection[int]`): index in `SAFETY_LEVELS`, `UNLABELLED`, or all that are possible.
        risk_type (`int` or `Collection[int]`): index in `SAFETY_TYPES`, `UNLABELLED`, or all that are possible.

    Returns:
        `str`: the reason, or `None` where some possible level goes with some possible type.
    """
    levels, types = _as_classes(level, SAFETY_LEVELS), _as_classes(risk_type, SAFETY_TYPES)
    if _possible_pairs(levels, types):
        return None
    named = ((SAFETY_LEVELS, levels), (SAFETY_TYPES, types))
    spelled = [" or ".join(names[index] for index in sorted(classes)) for names, classes in named]
    return f"level '{spelled[0]}' contradicts type '{spelled[1]}'"


def _possible_pairs(levels: Collection[int], types: Collection[int]) -> list[tuple[int, int]]:
    return [(level, kind) for level in levels for kind in types if (level == 0) == (kind == SAFE_TYPE_ID)]


def _as_classes(label: int | Collection[int], names: tuple[str, ...]) -> Collection[int]:
    if isinstance(label, Collection):
        return label
    return range(len(names)) if label == UNLABELLED else [label]


def _parse_possible(value: Any, label: str) -> set[int]:
    names, harmless = _CLASSES[label]
    everything = set(range(len(names)))
    is_several = isinstance(value, list | tuple | set | frozenset | np.ndarray)
    if not is_several and value in (None, UNLABELLED):
        return everything
    found: set[int] = set()
    for one in value if is_several else [value]:
        is_risky = isinstance(one, str) and one.strip().lower() == "risky"
        found |= everything - {harmless} if is_risky else {_parse(one, names)}
    if not found:
        raise ValueError("an empty list leaves no class possible; give null where nothing is known")
    return found


def _parse(value: object, names: tuple[str, ...]) -> int:
    index = None
    if isinstance(value, str):
        text = value.strip().lower()
        name = text.replace("-", " ").replace(" and ", " ").replace(" ", "_")
        if name in names:
            return names.index(name)
        if text.isdecimal():
            index = int(text)
    elif isinstance(value, int | np.integer) and not isinstance(value, bool):
        index = int(value)
    if index is None or not 0 <= index < len(names):
        raise ValueError(f"{value!r} is neither an index from 0 to {len(names) - 1} nor one of {', '.join(names)}")
    return index
