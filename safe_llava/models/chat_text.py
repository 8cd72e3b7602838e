"""The texts of a chat, kept from becoming special tokens, in whatever containers they come."""

import dataclasses
import numbers
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np


_MEDIA = ("image", "image_url", "video", "video_url", "audio", "audio_url", "input_audio")
# Where parts of these types hold what is read, and never rendered.
_MEDIA_FIELDS = (*_MEDIA, "url", "path", "base64")


class ChatText:
    """
    Breaks up special tokens in the texts of a chat, by a space behind their first character.

    Args:
        special_tokens (`set[str]`): the spellings that a text must not hold.
    """

    def __init__(self, special_tokens: set[str]):
        self.special_tokens = sorted(filter(None, special_tokens), key=len, reverse=True)
        self._beginnings = tuple(token[:length] for token in self.special_tokens for length in range(1, len(token)))
        # One character alone is no part of a token yet, and quotes in a text begin with ">".
        self._ends = tuple(token[start:] for token in self.special_tokens for start in range(1, len(token) - 1))

    def neutralize(self, value: Any) -> Any:
        """
        A copy of messages, chats, tools or documents, made of plain lists and dictionaries, without a special token in
        any text. The images, videos and audio of parts are passed through.

        Raises:
            TypeError: if there is something whose texts cannot be found.
        """
        if isinstance(value, str):
            return self.break_tokens(str.__str__(value))
        if value is None or isinstance(value, numbers.Number | np.bool_):
            return value
        if hasattr(value, "messages") and not isinstance(value, Mapping):
            return self.neutralize(value.messages)  # A chat, as transformers' pipelines wrap it.
        if (fields := _find_fields(value)) is not None:
            is_media = fields.get("type") in _MEDIA
            return {
                self.neutralize(key): item if is_media and key in _MEDIA_FIELDS else self.neutralize(item)
                for key, item in fields.items()
            }
        # Bytes, arrays and tensors can be gone through too, and are no lists of parts.
        if isinstance(value, Iterable) and not isinstance(value, bytes | bytearray) and not hasattr(value, "shape"):
            return [self.neutralize(item) for item in value]
        raise TypeError(
            f"A chat cannot hold {type(value).__name__} here. It is made of texts, numbers, lists, dictionaries, "
            'dataclasses and pydantic models; an image stands in a part of its own, {"type": "image", "image": ...}.'
        )

    def neutralize_variable(self, value: Any) -> Any:
        """As `neutralize`, on what may be a variable of the template or an option of the processor."""
        if isinstance(value, str):
            return self.break_tokens(value)
        if isinstance(value, list | tuple):
            return [self.neutralize_variable(item) for item in value]
        fields = _find_fields(value)
        if fields is None:
            return self.neutralize(value) if isinstance(value, Iterator | set | frozenset) else value
        return {self.neutralize_variable(key): self.neutralize_variable(item) for key, item in fields.items()}

    def break_tokens(self, text: str) -> str:
        """A text without special tokens, also where a template joins it to another text."""
        for token in self.special_tokens:
            text = text.replace(token, f"{token[0]} {token[1:]}" if len(token) > 1 else " ")
        if not (text.endswith(self._beginnings) or text.startswith(self._ends)):
            return text
        for token in self.special_tokens:
            for length in range(len(token) - 1, 0, -1):
                if text.endswith(token[:length]):
                    text = f"{text[:-length]}{token[0]} {token[1:length]}"
                if length > 1 and text.startswith(token[-length:]):
                    text = f"{token[-length]} {text[1:]}"
        return text


def _find_fields(value: Any) -> dict[Any, Any] | None:
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        # One level at a time: `asdict` would copy images.
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if callable(getattr(value, "model_dump", None)):
        return value.model_dump()
    return None
