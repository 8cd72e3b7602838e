"""Images that a row names elsewhere than in its fields of images."""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..models.image_formats import format_of_head, format_of_name, is_archive
from .image_values import is_null


_URL_OF_IMAGE = re.compile(r"data:image/", re.IGNORECASE)
_LONGEST_NAME = 4096
_BASE64_HEAD = re.compile(r"[A-Za-z0-9+/]{64}")
_NAMES = (
    *("image", "image_path", "image_file", "image_url", "image_name", "img", "img_path", "img_url", "picture"),
    *("images", "image_paths", "image_files", "image_urls", "imgs", "pictures", "photo", "photos", "pixel_values"),
)
_IMAGE_KEYS = ("image", "images", "image_url", "url", "path", "bytes", "base64", "data", "source")


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
            found = [leaf for leaf in _leaves(item.get(key)) if not is_null(leaf)]
            if any(leaf not in known for leaf in found):
                return key
    return None


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
