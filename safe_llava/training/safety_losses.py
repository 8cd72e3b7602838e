"""The safety losses inside trl's fused forward, where DDP, FSDP, DeepSpeed and PEFT expect every loss to be made."""

import functools
import types
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from trl.trainer.utils import FusedCausalLMOutput

from ..models.modeling_safe_llava import SafeLlavaForConditionalGeneration
from .answered_rows import run_answered_rows


@dataclass
class SafeFusedCausalLMOutput(FusedCausalLMOutput):
    """
    trl's fused output and what the safety head found. The per-token fields have the shape `(1, num_scored)`: all
    tokens of the batch that have a label, one after the other.

    Args:
        level_loss (`torch.Tensor` of shape `()`, *optional*, returned with `safety_level` and `safety_type`):
            Cross-entropy, mean over the labelled rows of this batch.
        type_loss (`torch.Tensor` of shape `()`, *optional*, returned with `safety_level` and `safety_type`): likewise.
        level_logits (`torch.FloatTensor` of shape `(batch_size, 4)`, *optional*): detached.
        type_logits (`torch.FloatTensor` of shape `(batch_size, 7)`, *optional*): detached.
    """

    level_loss: torch.Tensor | None = None
    type_loss: torch.Tensor | None = None
    level_logits: torch.Tensor | None = None
    type_logits: torch.Tensor | None = None


def add_safety_losses(model: SafeLlavaForConditionalGeneration) -> None:
    """
    Lets `model(..., labels=labels, fused_lm_head=True)` return the safety losses too, as [`SafeFusedCausalLMOutput`].

    trl's fused forward calls the inner model without `labels` and keeps only its hidden states. Two hooks on the inner
    model, there for one call, hand `labels` in, so that the head knows the prompt from the answer, and its losses out.
    They leave through the module's output: DDP searches it for the parameters that take part. The second hook also
    leaves only the hidden states of the answers, since without Triton trl scores the long prompts too.

    Args:
        model ([`SafeLlavaForConditionalGeneration`]):
            One that trl has given its fused LM head; not its PEFT, DDP or FSDP wrapper.
    """
    fused_forward = model.forward

    @functools.wraps(type(model).forward)
    def forward(self: Any, *args: Any, fused_lm_head: bool = False, labels: Any = None, **kwargs: Any) -> Any:
        if not fused_lm_head:
            return fused_forward(*args, labels=labels, **kwargs)
        kept = {}
        next_labels = labels[:, 1:]
        scored = next_labels != -100
        scored[0, 0] |= ~scored.any()  # one ignored position keeps the loss connected where there is no answer

        def keep_scored(module: nn.Module, args: tuple, output: Any) -> Any:
            kept.update(output)
            output.last_hidden_state = output.last_hidden_state[:, :-1][scored].unsqueeze(0)
            return output

        hooks = [
            self.model.register_forward_pre_hook(
                lambda module, args, kwargs: (args, {**kwargs, "labels": labels}), with_kwargs=True
            ),
            self.model.register_forward_hook(keep_scored),
        ]
        try:
            with run_answered_rows(self.model.language_model, next_labels):
                fused = fused_forward(
                    *args, fused_lm_head=True, shift_labels=next_labels[scored].unsqueeze(0), **kwargs
                )
        finally:
            for hook in hooks:
                hook.remove()
        losses = {name: kept.get(name) for name in ("level_loss", "type_loss")}
        # Detached, for DDP would wait for gradients of everything it finds in the output.
        logits = {name: kept[name].detach() for name in ("level_logits", "type_logits") if kept.get(name) is not None}
        return SafeFusedCausalLMOutput(**fused, **losses, **logits)

    model.forward = types.MethodType(forward, model)
