"""inspect's chat messages as the conversations that chat templates take."""

from collections.abc import Sequence
from typing import Any

from inspect_ai.model import ChatMessage, ChatMessageTool, Content, ContentImage, ContentText

from ...models.image_reading import read_image


def to_conversation(messages: Sequence[ChatMessage]) -> list[dict[str, Any]]:
    """
    Messages for a processor's `apply_chat_template`, with the images decoded.

    Args:
        messages (`Sequence[ChatMessage]`): system, user and assistant turns. inspect reads image files before it
            calls a provider, so images are data URIs.

    Returns:
        `list[dict]`: a message for each turn.

    Raises:
        ValueError: if there is a tool's message, or anything but text and images.
        UnreadableImageError: if an image cannot be decoded.
    """
    return [{"role": message.role, "content": _to_parts(message)} for message in messages]


def _to_parts(message: ChatMessage) -> list[dict[str, Any]]:
    if isinstance(message, ChatMessageTool) or getattr(message, "tool_calls", None):
        raise ValueError("A LLaVA calls no tools. Evaluate it with tasks that have none.")
    content = [ContentText(text=message.content)] if isinstance(message.content, str) else message.content
    return [_to_part(part) for part in content]


def _to_part(part: Content) -> dict[str, Any]:
    if isinstance(part, ContentText):
        return {"type": "text", "text": part.text}
    if isinstance(part, ContentImage):
        return {"type": "image", "image": read_image(part.image).image}
    raise ValueError(f"A LLaVA reads text and images; a message holds a part of type {part.type!r}.")
