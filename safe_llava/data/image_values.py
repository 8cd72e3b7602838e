"""Images as rows give them: named by files or URLs, encoded, in base64, or not at all; one rule for every tool."""

import base64
import binascii
import re
import reprlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..models.image_formats import format_of_head, is_archive


IMAGE_FIELDS = ("image", "images")
_SEPARATOR = "<split>"
_URL = re.compile(r"https?://", re.IGNORECASE)
_DATA_URL = re.compile(r"data:image/[^,]*;base64,", re.IGNORECASE)
_BASE64_HEAD = re.compile(r"[A-Za-z0-9+/]{40}")


class EmptyImageError(ValueError):
    """A place for an image that holds none, beside others or with its name."""


def images_of(record: Mapping[str, Any], fields: tuple[str, ...] = IMAGE_FIELDS, folder: Path | None = None) -> list:
    """
    The images that a row gives in its fields, in their order. A field that is null, blank, an empty list or not there
    gives none; a row without any is text only, if its conversation asks for none.

    Args:
        record (`Mapping`): the row.
        fields (`tuple[str, ...]`, *optional*, defaults to `("image", "images")`): its fields of images. Each holds one
            image or, in lists, several: a file's name, or several joined by `<split>`; an http URL; a data URL or
            base64; bytes; or a dictionary of `bytes` and `path`.
        folder (`Path`, *optional*): what the names of files start from.

    Returns:
        `list[Path | str | bytes | dict]`: a file's `Path`, an http URL as it is, or what is encoded.

    Raises:
        EmptyImageError: if there is an empty place beside images, or a name beside zero bytes.
        ValueError: if a field holds something else.
    """
    images: list[Any] = []
    for field in fields:
        value = record.get(field)
        if is_null(value):
            continue
        items = [part for item in _flatten(value) for part in _split(item)]
        for place, item in enumerate(items, start=1):
            if is_null(item) or (isinstance(item, Mapping) and _is_zero(item.get("bytes"))) or _is_zero(item):
                which = f"image {place} of image field" if len(items) > 1 else "image field"
                raise EmptyImageError(f"{which} {field!r} is empty")
            images.append(_read(item, field, folder))
    return images


def given_field(record: Mapping[str, Any], fields: tuple[str, ...] = IMAGE_FIELDS) -> str | None:
    """The first of these fields that a row has, whatever it holds."""
    return next((field for field in fields if field in record), None)


def names_in(record: Mapping[str, Any], fields: tuple[str, ...] = IMAGE_FIELDS) -> list[Any]:
    """What stands in these fields as it is: names, and what is encoded."""
    found = [item for field in fields for part in _flatten(record.get(field)) for item in _split(part)]
    return [value for item in found for value in (item.values() if isinstance(item, Mapping) else [item])]


def is_null(value: Any) -> bool:
    """Whether a field, or a place in a list, gives no image and names none."""
    if isinstance(value, Mapping):
        return all(is_null(item) for item in value.values())
    if isinstance(value, list | tuple):
        return not value
    if isinstance(value, str):
        return not value.strip()
    return value is None or value != value


def _is_zero(value: Any) -> bool:
    return isinstance(value, bytes | str) and not value


def _flatten(value: Any) -> Iterator[Any]:
    """The items of lists in lists, empty ones among them. Not by recursion: JSON can nest deeper than calls can."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list | tuple) and item:
            waiting += reversed(item)
        else:
            yield item


def _split(item: Any) -> list[Any]:
    if not isinstance(item, str) or _SEPARATOR not in item:
        return [item]
    return [name.strip() for name in item.split(_SEPARATOR)]


def _read(item: Any, field: str, folder: Path | None) -> Any:
    if isinstance(item, bytes):
        return item
    if isinstance(item, str):
        return _read_text(item.strip(), field, folder)
    if not isinstance(item, Mapping) or not item.keys() <= {"bytes", "path"}:
        raise ValueError(
            f"'{field}' must be a file name, several joined by {_SEPARATOR}, an image in base64, "
            f"{{'bytes': ..., 'path': ...}}, or a list of them, not {reprlib.repr(item):.80}"
        )
    encoded, path = item.get("bytes"), item.get("path")
    if isinstance(encoded, str):
        encoded = _decode(encoded, field)
    if encoded:
        return {"bytes": encoded, "path": path}
    if not isinstance(path, str):
        raise ValueError(f"'{field}' must name its file in 'path', not {reprlib.repr(path):.80}")
    return _read_text(path, field, folder)


def _read_text(text: str, field: str, folder: Path | None) -> Any:
    if _URL.match(text):
        return text
    if (mark := _DATA_URL.match(text)) is not None:
        return _decode(text[mark.end() :], field)
    if text[:5].lower() == "data:":
        raise ValueError(f"'{field}' is a data URL, of which those of images in base64 are read, not {text:.40}")
    if _is_base64_image(text):
        return _decode(text, field)
    name = Path(text.encode("utf-8", "backslashreplace").decode())  # Half of a surrogate pair stands for no file.
    return name if folder is None or "://" in text else (folder / name).absolute()


def _is_base64_image(text: str) -> bool:
    if (head := _BASE64_HEAD.match(text)) is None:
        return False
    name = format_of_head(base64.b64decode(head[0]))
    return name is not None and not is_archive(name)


def _decode(text: str, field: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"'{field}' holds base64 that is broken: {error}") from error
