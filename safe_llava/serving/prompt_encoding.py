"""Chats as a guard takes them: neutralised, and short enough for the language model."""

from jinja2 import TemplateError

from ..guards.assessing_guard import AssessingGuard
from ..models.encoded_prompt import EncodedPrompt
from ..models.sample_chats import find_images
from .chat_reading import ReadChat
from .request_errors import RequestError


def encode_chat(chat: ReadChat, guard: AssessingGuard) -> EncodedPrompt:
    """
    Encodes a chat for the assistant's next turn.

    Args:
        chat ([`ReadChat`]): the chat.
        guard ([`AssessingGuard`]): what assesses it.

    Raises:
        RequestError: if the chat template refuses the chat, or if it has too many tokens: one is left for the answer.
    """
    images = find_images(chat.messages)
    try:
        prompts = guard.render([chat.messages])
    except TemplateError as error:
        raise RequestError(
            400, "invalid_request", f"The model's chat template refuses these messages: {error}", "messages"
        ) from None
    (prompt,) = guard.encode(prompts, [guard.encode_images(images) if images else {}])
    if len(prompt) >= guard.max_tokens:
        raise RequestError(
            400,
            "context_length_exceeded",
            f"The prompt has {len(prompt)} tokens with its images, and the model reads {guard.max_tokens} with its "
            "answer.",
            "messages",
        )
    return prompt
