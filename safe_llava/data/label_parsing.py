"""Risk labels as data files spell them, turned into the class indices of the safety head."""

from ..models.safety_labels import SAFE_TYPE_ID, SAFETY_LEVELS, SAFETY_TYPES


UNLABELLED = -100


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


def label_disagreement(level: int, risk_type: int) -> str | None:
    """
    Says why a level and a type contradict each other: level "none" goes with type "safe", and only with it.

    Args:
        level (`int`): index in `SAFETY_LEVELS`, or `UNLABELLED`.
        risk_type (`int`): index in `SAFETY_TYPES`, or `UNLABELLED`.

    Returns:
        `str`: the reason, or `None` where the two agree.
    """
    if UNLABELLED in (level, risk_type):
        return None if level == risk_type else "only one of the two labels is given; give both or neither"
    if (level == 0) != (risk_type == SAFE_TYPE_ID):
        return f"level '{SAFETY_LEVELS[level]}' contradicts type '{SAFETY_TYPES[risk_type]}'"
    return None


def _parse(value: object, names: tuple[str, ...]) -> int:
    index = None
    if isinstance(value, str):
        text = value.strip().lower()
        name = text.replace("-", " ").replace(" and ", " ").replace(" ", "_")
        if name in names:
            return names.index(name)
        if text.isdecimal():
            index = int(text)
    elif isinstance(value, int) and not isinstance(value, bool):
        index = value
    if index is None or not 0 <= index < len(names):
        raise ValueError(f"{value!r} is neither an index from 0 to {len(names) - 1} nor one of {', '.join(names)}")
    return index
