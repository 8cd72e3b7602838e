"""Which images a row names: those in its image fields, and those in fields that nobody gave."""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..models.image_formats import format_of_head, format_of_name, is_archive


_URL_OF_IMAGE = re.compile(r"data:image/", re.IGNORECASE)
_LONGEST_NAME = 4096
_BASE64_HEAD = re.compile(r"[A-Za-z0-9+/]{64}")
_NAMES = (
    *("image", "image_path", "image_file", "image_url", "image_name", "img", "img_path", "img_url", "picture"),
    *("images", "image_paths", "image_files", "image_urls", "imgs", "pictures", "photo", "photos", "pixel_values"),
)
_IMAGE_KEYS = ("image", "images", "image_url", "url", "path", "bytes", "base64", "data", "source")


class EmptyImageError(ValueError):
    """A field of images that holds none."""


def images_of(record: Mapping[str, Any], fields: tuple[str, ...]) -> list[Any]:
    """
    The images in a row's image fields. A field may hold one or, in lists, several.

    Where a row has several fields, such as `image_1` to `image_7`, some may be empty.

    Args:
        record (`Mapping`): the row.
        fields (`tuple[str, ...]`): its fields with images; those that it does not have do not count.

    Returns:
        `list`: the images, empty only if the row has none of the fields.

    Raises:
        EmptyImageError: if all fields that are there are empty, or a list has an empty place.
    """
    there = [field for field in fields if field in record]
    filled = [field for field in there if not _is_empty(record[field])]
    if there and not filled:
        raise EmptyImageError(f"image field {there[0]!r} is empty")
    images = []
    for field in filled:
        for place, image in enumerate(_flatten(record[field])):
            if _is_empty(image):
                raise EmptyImageError(f"image {place + 1} of image field {field!r} is empty")
            images.append(image)
    return images


def find_reference(record: Mapping[str, Any], left_out: tuple[str | None, ...] = ()) -> str | None:
    """
    The first field that is called as fields of images often are, or whose value looks like an image: the name of an
    image file, a URL of one, its bytes or base64.

    Args:
        record (`Mapping`): the row.
        left_out (`tuple`, *optional*): fields that are not looked at, such as the text.

    Returns:
        `str`, *optional*: the field's name.
    """
    for field, value in record.items():
        if field not in left_out and (field in _NAMES or any(map(_looks_like_image, _leaves(value)))):
            return field
    return None


def find_reference_in_turns(value: Any, known: list[Any]) -> str | None:
    """
    The first part of a conversation that brings an image along, other than those that are known.

    Args:
        value (`Any`): what a text column holds.
        known (`list`): the row's images.

    Returns:
        `str`, *optional*: the name of the part's field.
    """
    for item in _containers(value):
        kind = item.get("type")
        for key in _IMAGE_KEYS if isinstance(kind, str) and "image" in kind else ("image", "images", "image_url"):
            found = [leaf for leaf in _leaves(item.get(key)) if not _is_empty(leaf)]
            if any(leaf not in known for leaf in found):
                return key
    return None


def _is_empty(value: Any) -> bool:
    if isinstance(value, Mapping):
        # A path beside no bytes names the image, and beside zero bytes only says what it was called.
        return value.get("bytes") == b"" or all(_is_empty(value.get(key)) for key in _IMAGE_KEYS)
    if isinstance(value, list | tuple):
        return all(isinstance(item, list | tuple) or _is_empty(item) for item in _flatten(value))
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, float):
        return value != value
    return value is None or value == b""


def _flatten(value: Any) -> Iterator[Any]:
    """The items of lists in lists, empty ones among them. Not by recursion: JSON can nest deeper than calls can."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list | tuple) and item:
            waiting += reversed(item)
        else:
            yield item


def _leaves(value: Any) -> Iterator[Any]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item
        else:
            yield item


def _containers(value: Any) -> Iterator[Mapping[str, Any]]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, Mapping):
            yield item
            waiting += item.values()
        elif isinstance(item, list | tuple):
            waiting += item


def _looks_like_image(value: Any) -> bool:
    if isinstance(value, bytes):
        return _is_format(format_of_head(value))
    if not isinstance(value, str):
        return False
    text = value.strip()
    if _URL_OF_IMAGE.match(text):
        return True
    if (head := _BASE64_HEAD.match(text)) is not None and _is_format(format_of_head(base64.b64decode(head[0]))):
        return True
    if len(text) > _LONGEST_NAME or "\n" in text:
        return False
    name = text.split("<split>")[0]
    return any(_is_format(format_of_name(name)) for name in (name, re.split("[?#]", name)[0]))


def _is_format(name: str | None) -> bool:
    return name is not None and not is_archive(name)
