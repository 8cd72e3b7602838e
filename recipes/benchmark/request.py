"""One request, as every way is asked it: an image, 64 tokens of text, and a hint of 48 tokens where one is given."""

import torch
from transformers import LlavaProcessor, PreTrainedConfig

from safe_llava import SafetyPolicy
from safe_llava.miniature import CHECKPOINT
from safe_llava.models.safety_labels import RISK_LEVELS, RISK_TYPES

from .request_images import count_image_rows, make_images


NUM_TEXT_TOKENS = 64
"""A chat's frame and a question."""

HINT = "Answer with care. " * 12
"""48 tokens, about as long as the authors' hints. The default policy's have 14 to 21 of the miniature's."""

_WORD = 5


def make_policy() -> SafetyPolicy:
    """A policy that acts on every level above "none", whatever type it is, with [`HINT`] as its only hint."""
    hints = {name: dict.fromkeys(RISK_LEVELS, HINT.strip()) for name in RISK_TYPES}
    return SafetyPolicy.from_dict({"types": {name: {"threshold": 1e-6} for name in RISK_TYPES}, "hints": hints})


def load_processor() -> LlavaProcessor:
    """The miniature's, for all shapes: its token ids of the policy's texts are in every vocabulary here."""
    return LlavaProcessor.from_pretrained(CHECKPOINT)


def make_prompt(
    config: PreTrainedConfig,
    assistant_turn: list[int],
    num_text_tokens: int = NUM_TEXT_TOKENS,
    hint: list[int] | None = None,
) -> list[int]:
    """Token ids: a chat's frame, the image's placeholders, the question, the hint, the assistant's turn."""
    frame = [_WORD] * 4
    question = [_WORD] * (num_text_tokens - len(frame) - len(assistant_turn))
    image = [config.image_token_id] * count_image_rows(config)
    return [*frame, *image, *question, *(hint or []), *assistant_turn]


def make_inputs(
    config: PreTrainedConfig, prompt: list[int], batch_size: int, device: str, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """What the processor would give: the same prompt in every row, with an image of its own."""
    input_ids = torch.tensor([prompt] * batch_size, device=device)
    return {
        "input_ids": input_ids,
        "attention_mask": torch.ones_like(input_ids),
        **make_images(config, batch_size, device, dtype),
    }
