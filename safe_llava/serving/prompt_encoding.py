"""Chats as the model takes them: neutralised by the processor, and short enough for the language model."""

from dataclasses import dataclass, field
from typing import Any

import torch
from jinja2 import TemplateError

from ..models.processing_safety import SafetyProcessorMixin
from .chat_reading import ReadChat
from .request_errors import RequestError


@dataclass(frozen=True)
class EncodedPrompt:
    """
    One prompt.

    Args:
        input_ids (`torch.LongTensor` of shape `(sequence_length,)`): its tokens, image placeholders included.
        images (`dict[str, torch.Tensor]`, *optional*):
            `pixel_values` of its images, and what else the processor says of them. Empty where there are none.
    """

    input_ids: torch.Tensor
    images: dict[str, torch.Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.input_ids)


def encode_chat(chat: ReadChat, processor: SafetyProcessorMixin, max_tokens: int) -> EncodedPrompt:
    """
    Encodes a chat for the assistant's next turn.

    Args:
        chat ([`ReadChat`]): the chat.
        processor ([`SafetyProcessorMixin`]): the model's processor.
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
    names = processor.image_processor.model_input_names
    prompt = EncodedPrompt(encoded["input_ids"][0], {name: encoded[name] for name in names if name in encoded})
    if len(prompt) >= max_tokens:
        raise RequestError(
            400,
            "context_length_exceeded",
            f"The prompt has {len(prompt)} tokens with its images, and the model reads {max_tokens} with its answer.",
            "messages",
        )
    return prompt
