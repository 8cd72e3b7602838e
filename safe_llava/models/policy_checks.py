"""What the fields of a safety policy may hold. Each check raises a `ValueError` that names the field."""

import unicodedata
from typing import Any


MIN_TEMPERATURE, MAX_TEMPERATURE = 0.01, 100.0
"""Beyond these, probabilities are flat or all or nothing, and logits drown in rounding."""
# Letters and symbols by their Unicode category that show nothing.
_BLANKS = "\u115f\u1160\u2800\u3164\uffa0"


def check_temperature(path: str, value: Any) -> None:
    """A temperature is a number within bounds."""
    is_valid = is_number(value) and MIN_TEMPERATURE <= value <= MAX_TEMPERATURE
    require(path, value, is_valid, f"a number from {MIN_TEMPERATURE} to {MAX_TEMPERATURE}")


def check_threshold(path: str, value: Any) -> None:
    """A threshold is a share that something can reach and must not always."""
    require(path, value, is_number(value) and 0 < value <= 1, "a number in (0, 1]")


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def require(path: str, value: Any, is_valid: bool, expected: str) -> None:
    if not is_valid:
        raise ValueError(f"Safety policy: `{path}` must be {expected}, got {value!r:.200}.")


def require_text(path: str, value: Any) -> None:
    require(path, value, isinstance(value, str), "a text that is not empty")
    # Marks, blanks, zero-width and control characters alone show nothing.
    is_visible = any(unicodedata.category(char)[0] in "LNPS" and char not in _BLANKS for char in value)
    require(path, value, is_visible, "a text that shows something")
    codes = (unicodedata.category(char) for char in value if char not in "\t\n\r")
    require(path, value, not any(code in ("Cc", "Cs") for code in codes), "a text without control characters")


def require_keys(path: str, value: Any, keys: tuple[str, ...]) -> None:
    is_valid = isinstance(value, dict) and set(value) == set(keys)
    require(path, value, is_valid, f"a dictionary with exactly the keys {list(keys)}")
