"""
The two-pass pipeline, written in the authors' way: **our rewrite** of the notebook of arXiv 2405.13581 on our modules.

It classifies the prompt, padded to 1,024 tokens, with a head whose queries are all its positions and which reads the
first alone. Then it writes the prompt anew, with the hint in it, and generates: the padding is not masked, so the
language model reads it too, the image is encoded again, and the head runs again.
"""

from typing import Any

import torch
from torch import nn

from safe_llava import SafeLlavaForConditionalGeneration


TEXT_LENGTH = 1024
"""The notebook's `MAX_LENGTH`. One of the tokens is the image's, which then becomes 64 + P positions."""


class AuthorsHead(nn.Module):
    """Cross-attention of every text position, of which the first is classified. Stands in for our [`SafetyHead`]."""

    def __init__(self, hidden_size: int, num_heads: int):
        super().__init__()
        self.cross_attention = nn.MultiheadAttention(hidden_size, num_heads, batch_first=True)
        self.level_classifier = nn.Linear(hidden_size, 4)
        self.type_classifier = nn.Linear(hidden_size, 7)

    def forward(self, text_embeds: torch.Tensor, keys: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        attended, _ = self.cross_attention(text_embeds, keys, keys)
        return self.level_classifier(attended[:, 0]), self.type_classifier(attended[:, 0])


class TwoPasses:
    """
    Args:
        model ([`SafeLlavaForConditionalGeneration`]): gives everything but the head.
        head ([`AuthorsHead`]): the head.
    """

    def __init__(self, model: SafeLlavaForConditionalGeneration, head: AuthorsHead):
        self.model, self.head = model, head

    @torch.no_grad()
    def generate(
        self, text_ids: torch.Tensor, input_ids: torch.Tensor, images: dict[str, torch.Tensor], **kwargs: Any
    ) -> torch.Tensor:
        """
        Args:
            text_ids (`torch.LongTensor` of shape `(batch_size, 1024)`): the padded prompt of the first pass.
            input_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`): the prompt of the second pass.
            images (`dict[str, torch.Tensor]`): `pixel_values`, and where images are cut their `image_sizes`.
        """
        level_logits, type_logits = self.classify(text_ids, self.encode(images))
        # What the notebook's choice of a hint waits for.
        level_logits.argmax(dim=-1).tolist(), type_logits.argmax(dim=-1).tolist()
        features = self.encode(images)
        self.classify(text_ids, features)
        return self.model.generate(
            input_ids=input_ids, mm_encoder_outputs={"image": features}, safety_policy=False, **kwargs
        )

    def encode(self, images: dict[str, torch.Tensor]) -> Any:
        inner: Any = self.model.model
        return inner.get_image_features(**images, return_dict=True)

    def classify(self, text_ids: torch.Tensor, features: Any) -> tuple[torch.Tensor, torch.Tensor]:
        inner: Any = self.model.model
        safety_features = inner.safety_modules.projector(features.patch_features, features.patch_grid)
        tokens = inner.safety_modules.tokens()[0].expand(len(text_ids), -1, -1)
        return self.head(inner.get_input_embeddings()(text_ids), torch.cat([tokens, safety_features], dim=1))
