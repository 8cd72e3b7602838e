"""What SafeLLaVA's methods return: LLaVA's outputs with the safety head's findings."""

from dataclasses import dataclass, fields
from typing import Any

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.models.llava.modeling_llava import LlavaCausalLMOutputWithPast, LlavaModelOutputWithPast
from transformers.utils import ModelOutput


# transformers 5.24 renamed two fields of LLaVA's outputs, and with the first the argument of every `forward`.
_FIELDS = {field.name for field in fields(LlavaModelOutputWithPast)}
CACHE_NAME = "cache" if "cache" in _FIELDS else "past_key_values"


@dataclass
class SafeLlavaImageFeatures(BaseModelOutputWithPooling):
    """
    What [`SafeLlavaModel.get_image_features`] returns. `pooler_output` is a list with, for each picture, the
    `(num_safety_tokens + num_patches, hidden_size)` rows [s2; h_i] that the language model reads; `None` from a guard.

    Args:
        patch_features (`torch.Tensor` of shape `(num_images, num_patches, vision_hidden_size)`):
            The vision tower's selected features h_o without the CLS token, from which the safety projector works.
        patch_grid (`tuple[int, int]`):
            Patches per column and per row.
        num_placeholders (`int`):
            Positions that each picture takes in the prompt.
    """

    patch_features: torch.Tensor | None = None
    patch_grid: tuple[int, int] | None = None
    num_placeholders: int | None = None

    def find_rows(self, placeholders: torch.Tensor) -> torch.Tensor:
        """
        The row of the batch that each picture belongs to, of shape `(num_images,)`.

        Args:
            placeholders (`torch.BoolTensor` of shape `(batch_size, sequence_length)`): where the pictures stand.
        """
        # Picture i fills placeholders i * size to (i + 1) * size, counted over the whole batch.
        size: Any = self.num_placeholders
        last_placeholder = (torch.arange(self.num_images, device=placeholders.device) + 1) * size
        return torch.bucketize(last_placeholder, placeholders.sum(dim=1).cumsum(dim=0))

    @property
    def num_images(self) -> int:
        """How many pictures there are, in all rows of the batch."""
        return 0 if self.patch_features is None else len(self.patch_features)


@dataclass
class SafeLlavaModelOutputWithPast(LlavaModelOutputWithPast):
    """
    LLaVA's base output and what the safety head found; see [`SafeLlavaCausalLMOutputWithPast`].
    """

    safety_loss: torch.Tensor | None = None
    level_loss: torch.Tensor | None = None
    type_loss: torch.Tensor | None = None
    level_logits: torch.Tensor | None = None
    type_logits: torch.Tensor | None = None


@dataclass
class SafeLlavaCausalLMOutputWithPast(LlavaCausalLMOutputWithPast):
    """
    LLaVA's output and what the safety head found.

    Args:
        loss (`torch.Tensor` of shape `()`, *optional*):
            `lm_loss + config.safety_loss_coef * safety_loss`, of the parts whose labels were given (paper, 3.3).
        lm_loss (`torch.Tensor` of shape `()`, *optional*, returned with `labels`):
            The language-model loss alone.
        safety_loss (`torch.Tensor` of shape `()`, *optional*, returned with `safety_level` and `safety_type`):
            `level_loss + type_loss`, not weighted.
        level_loss, type_loss (`torch.Tensor` of shape `()`, *optional*):
            Cross-entropies of the risk level and the risk type, means over the labelled rows.
        level_logits (`torch.FloatTensor` of shape `(batch_size, 4)`, *optional*):
            Scores of the risk levels.
        type_logits (`torch.FloatTensor` of shape `(batch_size, 7)`, *optional*):
            Scores of the risk types.
    """

    lm_loss: torch.Tensor | None = None
    safety_loss: torch.Tensor | None = None
    level_loss: torch.Tensor | None = None
    type_loss: torch.Tensor | None = None
    level_logits: torch.Tensor | None = None
    type_logits: torch.Tensor | None = None


@dataclass
class SafeLlavaSafetyClassifierOutput(ModelOutput):
    """
    What a guard returns.

    Args:
        loss (`torch.Tensor` of shape `()`, *optional*, returned with `safety_level` and `safety_type`):
            `level_loss + type_loss`. There is no language-model loss to weigh it against.
        level_loss, type_loss (`torch.Tensor` of shape `()`, *optional*):
            Cross-entropies of the risk level and the risk type, means over the labelled rows.
        level_logits (`torch.FloatTensor` of shape `(batch_size, 4)`):
            Scores of the risk levels.
        type_logits (`torch.FloatTensor` of shape `(batch_size, 7)`):
            Scores of the risk types, in the order of `config.id2label`.
    """

    loss: torch.Tensor | None = None
    level_loss: torch.Tensor | None = None
    type_loss: torch.Tensor | None = None
    level_logits: torch.Tensor | None = None
    type_logits: torch.Tensor | None = None


def name_image_outputs(image_outputs: SafeLlavaImageFeatures | None) -> dict[str, Any]:
    """The pictures' features as the field that LLaVA's outputs have for them."""
    if "image_outputs" in _FIELDS:
        return {"image_outputs": image_outputs}
    return {"image_hidden_states": None if image_outputs is None else torch.cat(image_outputs.pooler_output)}


def check_placeholders(counts: list[int], image_outputs: SafeLlavaImageFeatures | None) -> None:
    """
    Raises a `ValueError` unless each row holds whole pictures and all rows together hold all pictures, by the number
    of placeholders in each row.
    """
    num_images = 0 if image_outputs is None else image_outputs.num_images
    size: Any = 0 if image_outputs is None else image_outputs.num_placeholders
    if sum(counts) != num_images * size or (size and any(count % size for count in counts)):
        raise ValueError(
            f"Pictures and placeholders do not match: the rows of `input_ids` hold {counts} image tokens, and there "
            f"are {num_images} pictures of {size} tokens each. Build both with one call of the processor."
        )
