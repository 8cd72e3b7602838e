"""What SafeLLaVA's methods return: LLaVA's outputs with the safety head's findings."""

from dataclasses import dataclass, fields
from typing import Any

import torch
from transformers.models.llava.modeling_llava import LlavaCausalLMOutputWithPast, LlavaModelOutputWithPast
from transformers.utils import ModelOutput

from .safety_modules import SafeLlavaImageFeatures


# transformers 5.24 renamed two fields of LLaVA's outputs, and with the first the argument of every `forward`.
_FIELDS = {field.name for field in fields(LlavaModelOutputWithPast)}
CACHE_NAME = "cache" if "cache" in _FIELDS else "past_key_values"


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
        safety_loss (`torch.Tensor` of shape `()`, *optional*, returned with `safety_level` or `safety_type`):
            `level_loss + type_loss`, or the one of them whose labels are given; not weighted.
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
        loss (`torch.Tensor` of shape `()`, *optional*, returned with labels):
            `level_loss + type_loss`, or the one of them whose labels are given. There is no language-model loss to
            weigh it against.
        level_loss, type_loss (`torch.Tensor` of shape `()`, *optional*):
            Cross-entropies of the risk level and the risk type, means over the labelled rows.
        level_logits (`torch.FloatTensor` of shape `(batch_size, 4)`):
            Scores of the risk levels.
        type_logits (`torch.FloatTensor` of shape `(batch_size, 7)`):
            Scores of the risk types, in the order of `config.id2label`.
        hidden_states, attentions (`tuple[torch.Tensor]`, *optional*):
            Those of the vision tower, up to the last layer that is read, where they are asked for.
    """

    loss: torch.Tensor | None = None
    level_loss: torch.Tensor | None = None
    type_loss: torch.Tensor | None = None
    level_logits: torch.Tensor | None = None
    type_logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


def name_image_outputs(image_outputs: SafeLlavaImageFeatures | None) -> dict[str, Any]:
    """The images' features as the field that LLaVA's outputs have for them."""
    if "image_outputs" in _FIELDS:
        return {"image_outputs": image_outputs}
    return {"image_hidden_states": None if image_outputs is None else torch.cat(image_outputs.pooler_output)}
