"""A chat as another engine is given it: its texts neutralised, its images as they were assessed, the hint behind."""

import base64
import io
from collections.abc import Sequence
from typing import Any

from PIL import Image

from ..models.chat_text import ChatText
from ..models.processing_safe_llava import SafeLlavaProcessor


def special_texts(processor: SafeLlavaProcessor) -> ChatText:
    """What breaks up the special tokens of a model in texts, for engines that would read them as such."""
    added = processor.tokenizer.added_tokens_decoder.values()
    return ChatText({processor.image_token, *(token.content for token in added if token.special)})


def to_upstream(messages: Sequence[dict[str, Any]], hints: Sequence[str], special: ChatText) -> list[dict[str, Any]]:
    """
    Messages in OpenAI's form.

    Args:
        messages (`Sequence[dict]`): a chat as [`ChatReader`] read it, whose last message is the user's.
        hints (`Sequence[str]`): what the policy adds behind the question.
        special ([`ChatText`]): breaks up special tokens.

    Returns:
        `list[dict]`: the images are those that were decoded and assessed, not what their URLs hold by now.
    """
    sent = [
        {"role": message["role"], "content": [_to_part(part, special) for part in message["content"]]}
        for message in messages
    ]
    if hints:
        content = sent[-1]["content"]
        texts = [part for part in content if part["type"] == "text"]
        words = " ".join(hints)
        if texts:
            texts[-1]["text"] = f"{texts[-1]['text']} {words}"
        else:
            content.append({"type": "text", "text": words})
    for message in sent:
        if message["role"] != "user":  # Where engines take parts of a user alone.
            message["content"] = "".join(part["text"] for part in message["content"])
    return sent


def _to_part(part: dict[str, Any], special: ChatText) -> dict[str, Any]:
    if part["type"] == "text":
        return {"type": "text", "text": special.break_tokens(part["text"])}
    return {"type": "image_url", "image_url": {"url": _to_data_url(part["image"])}}


def _to_data_url(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
