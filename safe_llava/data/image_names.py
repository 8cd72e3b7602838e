"""Image files as rows of data files name them."""

import reprlib
from collections.abc import Mapping
from typing import Any


IMAGE_FIELDS = ("image", "images")
_SEPARATOR = "<split>"


def split_names(value: Any) -> Any:
    """The names in a text, which `<split>` joins, without the spaces around them; anything else as it is."""
    return [name.strip() for name in value.split(_SEPARATOR)] if isinstance(value, str) else value


def image_names_of(record: Mapping[str, Any]) -> list[str]:
    """
    The image files that a row names in `image` and `images`: one name, a list, or names joined by `<split>`.

    Args:
        record (`Mapping`): the row. A field that is null, empty or not there names none.

    Returns:
        `list[str]`: the names, in their order.

    Raises:
        ValueError: if a field holds something else, or an empty name beside others.
    """
    names = []
    for field in IMAGE_FIELDS:
        value = record.get(field)
        if value is None or value == [] or (isinstance(value, str) and not value.strip()):
            continue
        for name in value if isinstance(value, list) else [value]:
            if not isinstance(name, str):
                raise ValueError(
                    f"'{field}' must be a file name, several joined by {_SEPARATOR}, or a list of them, "
                    f"not {reprlib.repr(value):.80}"
                )
            names += split_names(name)
        if not all(names):
            raise ValueError(f"'{field}' has an empty file name: {reprlib.repr(value):.80}")
    return names
