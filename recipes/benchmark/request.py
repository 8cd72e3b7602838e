"""One request, as every way is asked it: an image, 64 tokens of text, and a hint of 48 tokens where one is given."""

import torch
from transformers import LlavaConfig, LlavaProcessor

from safe_llava import SafetyPolicy
from safe_llava.miniature import CHECKPOINT
from safe_llava.models.safety_labels import RISK_LEVELS, RISK_TYPES


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
    config: LlavaConfig,
    assistant_turn: list[int],
    num_text_tokens: int = NUM_TEXT_TOKENS,
    hint: list[int] | None = None,
) -> list[int]:
    """Token ids: a chat's frame, the image's placeholders, the question, the hint, the assistant's turn."""
    frame = [_WORD] * 4
    question = [_WORD] * (num_text_tokens - len(frame) - len(assistant_turn))
    return [*frame, *[config.image_token_id] * config.image_seq_length, *question, *(hint or []), *assistant_turn]


def make_inputs(
    config: LlavaConfig, prompt: list[int], batch_size: int, device: str, dtype: torch.dtype
) -> dict[str, torch.Tensor]:
    """What the processor would give: the same prompt in every row, with an image of its own."""
    size = config.vision_config.image_size
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(batch_size, 3, size, size, generator=generator)
    input_ids = torch.tensor([prompt] * batch_size, device=device)
    return {
        "input_ids": input_ids,
        "attention_mask": torch.ones_like(input_ids),
        "pixel_values": pixels.to(device, dtype),
    }
