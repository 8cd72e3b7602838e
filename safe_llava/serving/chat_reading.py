"""Requests as chats that the processor takes: texts counted, images fetched and decoded, limits kept."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..models.image_reading import UnreadableImageError, read_image
from ..models.safety_texts import NEUTRAL_QUESTION
from .image_fetching import read_url
from .request_errors import RequestError
from .request_schemas import AssistantMessage, ImagePart, Message, Part, RefusalPart, TextPart
from .serving_settings import ServingLimits, ServingSettings


@dataclass
class ReadChat:
    """
    One prompt to come.

    Args:
        messages (`list[dict]`): the chat as `apply_chat_template` takes it, with decoded images.
        images (`list[str]`): SHA-256 of each encoded image, in their order.
        has_text (`bool`): whether the client said something beside the images.
    """

    messages: list[dict[str, Any]]
    images: list[str] = field(default_factory=list)
    has_text: bool = False


class ChatReader:
    """
    Reads one request, whose chats share its limits.

    Args:
        settings ([`ServingSettings`]): limits, and where images may come from.
    """

    def __init__(self, settings: ServingSettings):
        self.settings, self.limits = settings, settings.limits
        self._num_images = self._num_chars = 0

    def read_messages(self, messages: Sequence[Message]) -> ReadChat:
        """A chat whose last message is the user's."""
        _require_at_most(len(messages), self.limits.turns, "messages", "messages")
        if messages[-1].role != "user":
            raise RequestError(400, "invalid_request", "The last message must be the user's.", "messages")
        chat = ReadChat([])
        for message in messages:
            role = "system" if message.role == "developer" else message.role
            chat.messages.append({"role": role, "content": self._read_content(_parts_of(message), chat)})
        return chat

    def read_input(self, parts: Sequence[Part]) -> ReadChat:
        """Images and the question about them, as one turn; a neutral question where there is none."""
        chat = ReadChat([])
        content = self._read_content(sorted(parts, key=lambda part: part.type == "text"), chat)
        if not content:
            raise RequestError(400, "invalid_request", "An input is empty: it holds neither image nor text.", "input")
        if not chat.has_text:
            content.append({"type": "text", "text": NEUTRAL_QUESTION})
        chat.messages = [{"role": "user", "content": content}]
        return chat

    def _read_content(self, parts: Sequence[Any], chat: ReadChat) -> list[dict[str, Any]]:
        content: list[dict[str, Any]] = []
        for part in parts:
            if isinstance(part, ImagePart):
                self._num_images += 1
                _require_at_most(self._num_images, self.limits.images, "images", "image_url")
                encoded = read_url(part.image_url.url, self.settings.image_hosts, self.limits)
                content.append({"type": "image", "image": _decode(encoded, self.limits)})
                chat.images.append(hashlib.sha256(encoded).hexdigest())
                continue
            text = part.refusal if isinstance(part, RefusalPart) else part.text
            self._num_chars += len(text)
            _require_at_most(self._num_chars, self.limits.text_chars, "characters", "messages")
            chat.has_text |= bool(text.strip())
            content.append({"type": "text", "text": text})
        return content


def _parts_of(message: Message) -> Sequence[Any]:
    content = message.content
    if content is None or content == "":
        refusal = message.refusal if isinstance(message, AssistantMessage) else None
        content = refusal or ""
    return [TextPart(type="text", text=content)] if isinstance(content, str) else content


def _decode(encoded: bytes, limits: ServingLimits) -> Any:
    try:
        return read_image(encoded, max_pixels=limits.image_pixels).image
    except UnreadableImageError as error:
        status = 413 if error.kind == "too large" else 400
        message = f"An image cannot be read ({error.kind}): {error}"
        raise RequestError(status, "image_unreadable", f"{message:.300}.", "image_url") from None


def _require_at_most(number: int, limit: int, what: str, param: str) -> None:
    if number > limit:
        raise RequestError(400, "too_much", f"A request may hold at most {limit} {what} here.", param)
