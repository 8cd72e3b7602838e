"""A prompt as a guard takes it."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EncodedPrompt:
    """
    One prompt, in arrays of what the guard that encoded it runs on.

    Args:
        input_ids (`Any` of shape `(sequence_length,)`): its tokens, image placeholders included.
        images (`dict[str, Any]`, *optional*):
            `pixel_values` of its images, and what else the processor says of them. Empty where there are none.
        more_tokens (`int`, *optional*, defaults to 0):
            What a language model reads beside these, where an image is a single token here.
    """

    input_ids: Any
    images: dict[str, Any] = field(default_factory=dict)
    more_tokens: int = 0

    def __len__(self) -> int:
        return len(self.input_ids) + self.more_tokens

    @property
    def num_images(self) -> int:
        return len(self.images["pixel_values"]) if self.images else 0
