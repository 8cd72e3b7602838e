"""What the task "safety-classification" takes as a sample, as a chat: an image, a dictionary, or a chat as it is."""

from collections.abc import Mapping
from typing import Any

from .image_reading import DOWNLOAD_SECONDS, read_image
from .safety_texts import NEUTRAL_QUESTION


_PART_TYPES = ("text", "image", "image_url")


def require_known_parts(messages: list[dict[str, Any]]) -> None:
    """
    Raises a `ValueError` where a chat holds what a template passes over, such as an image under another type: nobody
    would have looked at it.
    """
    contents = [message.get("content") for message in messages]
    parts = [part for content in contents if isinstance(content, list | tuple) for part in content]
    unknown = [part for part in parts if not isinstance(part, Mapping) or part.get("type") not in _PART_TYPES]
    if unknown or not any(contents):
        raise ValueError(
            f"A chat holds texts, or parts of the types {', '.join(_PART_TYPES)}, but this one holds "
            f"{f'{unknown[0]!r:.80}' if unknown else 'nothing'}."
        )


def to_message(sample: Any, timeout: float | None = DOWNLOAD_SECONDS) -> dict[str, Any]:
    """
    The only message of a sample that is no chat, its images read.

    Args:
        sample (`Any`): an image, or a dictionary with any of `image`, `images` and `text`.
        timeout (`float`, *optional*, defaults to 30.0): seconds to wait for an image from the web.

    Raises:
        ValueError: if a field of images is empty, a field is unknown, or there is nothing.
    """
    if not isinstance(sample, dict) or sample.keys() == {"bytes", "path"}:
        sample = {"image": sample}
    unknown = sorted(sample.keys() - {"image", "images", "text"})
    images = [*([sample["image"]] if sample.get("image") is not None else []), *(sample.get("images") or [])]
    fields = [name for name in ("image", "images") if name in sample]
    if (fields and not images) or any(image is None for image in images):
        raise ValueError(
            f"The sample has a field {fields[0]!r} that holds no image. A sample with a missing image is not assessed "
            'as text alone; where there should be none, leave the field out: {"text": question}.'
        )
    if unknown or not (images or sample.get("text")):
        raise ValueError(
            f"A sample holds `image` or `images` and `text`, or one of them, but this one holds {sorted(sample)}. "
            'Pass an image, {"image": image, "text": question}, or a chat.'
        )
    read = [read_image(image, timeout=timeout).image for image in images]
    parts: list[dict[str, Any]] = [{"type": "image", "image": image} for image in read]
    return {"role": "user", "content": [*parts, {"type": "text", "text": sample.get("text") or NEUTRAL_QUESTION}]}


def find_images(messages: list[dict[str, Any]]) -> list[Any]:
    """The images of a chat, in their order, as they are given."""
    contents = [message.get("content") for message in messages]
    parts = [part for content in contents if isinstance(content, list | tuple) for part in content]
    return [_find_image(part) for part in parts if part.get("type") in ("image", "image_url")]


def as_placeholders(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A chat whose images are placeholders, as templates read it."""

    def of_part(part: Any) -> Any:
        return {"type": "image"} if isinstance(part, Mapping) and part.get("type") in _PART_TYPES[1:] else part

    return [
        {**message, "content": [*map(of_part, message["content"])]}
        if isinstance(message.get("content"), list | tuple)
        else message
        for message in messages
    ]


def _find_image(part: Mapping[str, Any]) -> Any:
    given = [part[name] for name in ("image", "image_url", "url", "path", "base64") if part.get(name) is not None]
    if len(given) != 1:
        raise ValueError(f"A part of a chat holds one image, but this one holds {len(given)}: {sorted(part)}.")
    return given[0]["url"] if isinstance(given[0], Mapping) and "url" in given[0] else given[0]
