"""Chats as the model takes them: neutralised by the processor, and short enough for the language model."""

from dataclasses import dataclass
from typing import Any

import torch
from jinja2 import TemplateError

from ..models.processing_safe_llava import SafeLlavaProcessor
from .chat_reading import ReadChat
from .request_errors import RequestError


@dataclass(frozen=True)
class EncodedPrompt:
    """
    One prompt.

    Args:
        input_ids (`torch.LongTensor` of shape `(sequence_length,)`): its tokens, image placeholders included.
        pixel_values (`torch.Tensor` of shape `(num_images, num_channels, height, width)`, *optional*): its images.
    """

    input_ids: torch.Tensor
    pixel_values: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.input_ids)


def encode_chat(chat: ReadChat, processor: SafeLlavaProcessor, max_tokens: int) -> EncodedPrompt:
    """
    Encodes a chat for the assistant's next turn.

    Args:
        chat ([`ReadChat`]): the chat.
        processor ([`SafeLlavaProcessor`]): the model's processor.
        max_tokens (`int`): tokens that the language model can read, of which one is left for the answer.

    Raises:
        RequestError: if the chat template refuses the chat, or if it has too many tokens.
    """
    try:
        encoded: Any = processor.apply_chat_template(
            chat.messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
        )
    except TemplateError as error:
        raise RequestError(
            400, "invalid_request", f"The model's chat template refuses these messages: {error}", "messages"
        ) from None
    prompt = EncodedPrompt(encoded["input_ids"][0], encoded.get("pixel_values"))
    if len(prompt) >= max_tokens:
        raise RequestError(
            400,
            "context_length_exceeded",
            f"The prompt has {len(prompt)} tokens with its images, and the model reads {max_tokens} with its answer.",
            "messages",
        )
    return prompt
