"""A chat as another engine is given it: its texts neutralised, its images as they were assessed, the hint behind."""

import base64
import io
from collections.abc import Iterator, Sequence
from typing import Any

from PIL import Image

from ..models.chat_text import ChatText


def to_upstream(
    messages: Sequence[dict[str, Any]],
    hints: Sequence[str],
    special: ChatText,
    rows: Sequence[Any] | None = None,
) -> list[dict[str, Any]]:
    """
    Messages in OpenAI's form.

    Args:
        messages (`Sequence[dict]`): a chat as [`ChatReader`] read it, whose last message is the user's.
        hints (`Sequence[str]`): what the policy adds behind the question.
        special ([`ChatText`]): breaks up special tokens.
        rows (`Sequence[torch.Tensor]`, *optional*): what the language model reads of each image, to send in its place.

    Returns:
        `list[dict]`: the images are those that were decoded and assessed, not what their URLs hold by now.

    Raises:
        ValueError: if there are more or fewer rows than images.
    """
    images = [part["image"] for message in messages for part in message["content"] if part["type"] == "image"]
    if rows is not None and len(rows) != len(images):
        raise ValueError(f"There are {len(images)} images in the chat, and rows of {len(rows)}.")
    image_parts = iter(map(_to_image_part, images) if rows is None else map(_to_rows_part, rows))
    sent = [
        {"role": message["role"], "content": [_to_part(part, special, image_parts) for part in message["content"]]}
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


def _to_part(part: dict[str, Any], special: ChatText, image_parts: Iterator[dict[str, Any]]) -> dict[str, Any]:
    if part["type"] == "text":
        return {"type": "text", "text": special.break_tokens(part["text"])}
    return next(image_parts)


def _to_image_part(image: Image.Image) -> dict[str, Any]:
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=1)
    url = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": url}}


def _to_rows_part(rows: Any) -> dict[str, Any]:
    """
    The part that vLLM defines, and reads with `--enable-mm-embeds`: base64 of `torch.save`, which every release loads
    with `weights_only=True`; numpy's format, which newer ones read too, has no bfloat16. Nothing of the kind is ever
    read here.
    """
    import torch  # Only a guard on torch makes rows.

    file = io.BytesIO()
    # A clone, for a view is saved with all that it is a view of: the images of others.
    torch.save(rows.detach().cpu().clone(), file)
    return {"type": "image_embeds", "image_embeds": base64.b64encode(file.getvalue()).decode()}
