"""Chat templates that take texts, made to take lists of parts, which images stand in."""

import os
import re

from transformers import LlavaProcessor
from transformers.utils import logging


logger = logging.get_logger(__name__)

_JOIN_PARTS = """\
{%- set joined = namespace(messages=[]) -%}
{%- for message in messages -%}
{%- set text = namespace(content=message.content) -%}
{%- if message.content is not string and message.content is iterable -%}
{%- set text.content = '' -%}
{%- for part in message.content -%}
{%- set text.content = text.content + ('IMAGE\\n' if part.type == 'image' else part.text) -%}
{%- endfor -%}
{%- endif -%}
{%- set joined.messages = joined.messages + [dict(message, content=text.content)] -%}
{%- endfor -%}
{%- set messages = joined.messages -%}
"""
_TEMPLATE_ADVICE = (
    "Pass one that takes a list of parts as `chat_template` (`--chat-template FILE`), such as that of "
    "llava-hf/llava-1.5-7b-hf."
)


def fit_chat_template(processor: LlavaProcessor, source: str | os.PathLike) -> None:
    """
    Leaves a template that takes lists of parts as it is, and lets one that takes texts join them first.

    Args:
        processor ([`~transformers.LlavaProcessor`]): changed in place.
        source (`str` or `os.PathLike`): where it comes from, for messages.

    Raises:
        ValueError: if it has no template, or one that takes neither.
    """
    own = processor.chat_template
    if own is None:
        raise ValueError(f"The processor of {source} has no chat template. {_TEMPLATE_ADVICE}")
    try:
        _check_chat_template(processor, source)
    except ValueError as error:
        processor.chat_template = _JOIN_PARTS.replace("IMAGE", processor.image_token) + own
        try:
            _check_chat_template(processor, source)
        except ValueError:
            raise error from None
        logger.warning(
            "The chat template of %s takes texts, not lists of parts. In the converted one a message's parts are "
            "joined first, with %r and a line break for an image.",
            source,
            processor.image_token,
        )


def _check_chat_template(processor: LlavaProcessor, source: str | os.PathLike) -> None:
    """Renders a chat of parts: every text and the image must come out once, in their order."""
    texts = ["first-question", "first-answer", "second-question"]
    chat = [
        {"role": role, "content": [{"type": "text", "text": text}]}
        for role, text in zip(("user", "assistant", "user"), texts)
    ]
    chat[0]["content"].insert(0, {"type": "image"})  # type: ignore[attr-defined]
    try:
        text = processor.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # A template may raise anything.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"The chat template of {source} fails on a list of parts. {_TEMPLATE_ADVICE} It says: {reason:.500}"
        ) from error
    found = re.findall("|".join(map(re.escape, [processor.image_token, *texts])), text)
    if sorted(found) != sorted([processor.image_token, *texts]) or [name for name in found if name in texts] != texts:
        raise ValueError(
            f"The chat template of {source} takes no list of parts: of an image and the texts {', '.join(texts)} it "
            f"made {text!r:.300}. {_TEMPLATE_ADVICE}"
        )
