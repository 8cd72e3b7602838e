"""Hidden states of the language model's decoder layers, read and changed by forward hooks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn
from transformers import PreTrainedModel


Positions = Literal["last", "all"]


def decoder_layers(model: PreTrainedModel) -> nn.ModuleList:
    """The decoder layers of a LLaVA's language model."""
    return model.model.language_model.layers


@contextmanager
def kept_states(model: PreTrainedModel) -> Iterator[list[torch.Tensor]]:
    """While it lasts, a list gets what each decoder layer says, in their order, `(rows, positions, width)` each."""
    states: list[torch.Tensor] = []
    hooks = [layer.register_forward_hook(lambda *call: states.append(call[2])) for layer in decoder_layers(model)]
    try:
        yield states
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def read_last_states(
    model: PreTrainedModel, inputs_embeds: torch.Tensor, attention_mask: torch.Tensor
) -> torch.Tensor:
    """What each decoder layer says of the last position of prompts padded on the left, `(rows, layers, width)`."""
    with kept_states(model) as states:
        model.model.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=(attention_mask.long().cumsum(dim=-1) - 1).clamp(min=0),
            use_cache=False,
        )
    return torch.stack([state[:, -1] for state in states], dim=1)


class Steering:
    """
    Changes what the decoder layers say of prompts with an image: when a prompt is read at its last position or at
    all, and at every position of the answer. The hooks stay on the model. Where both are read in one pass, as by an
    attack, the answer is one position shorter than `logits_to_keep`.

    Args:
        model (`PreTrainedModel`): a stock LLaVA, whose prompts are padded on the left.
        change (`Callable[[int, torch.Tensor], torch.Tensor]`):
            Gives new hidden states `(rows, positions, width)` for a layer's, all rows of the prompt at once.
        positions (`"last"` or `"all"`): of the prompt.
        begin (`Callable[[torch.Tensor, torch.Tensor], None]`, *optional*):
            Told ids and mask of each new prompt before it is read. What it runs itself is not steered.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        change: Callable[[int, torch.Tensor], torch.Tensor],
        positions: Positions,
        begin: Callable[[torch.Tensor, torch.Tensor], None] | None = None,
    ):
        if positions not in ("last", "all"):
            raise ValueError(f'`positions` must be "last" or "all", not {positions!r}.')
        self.change, self.positions, self.begin = change, positions, begin
        self.image_token_id = model.config.image_token_id
        self.is_on = False
        self.has_image = torch.zeros(0, dtype=torch.bool)
        self.num_said = 0
        model.register_forward_pre_hook(self._count_said, with_kwargs=True)
        model.model.register_forward_pre_hook(self._start, with_kwargs=True)
        model.model.register_forward_hook(self._stop, always_call=True)
        for place, layer in enumerate(decoder_layers(model)):
            layer.register_forward_hook(self._steer(place))

    def _count_said(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        self.num_said = max(kwargs.get("logits_to_keep", 0) - 1, 0)

    def _start(self, module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> None:
        ids, mask = kwargs["input_ids"], kwargs.get("attention_mask")
        if ids.shape[1] > 1:  # Else it goes on with an answer.
            self.has_image = (ids == self.image_token_id).any(dim=1)
            if self.begin is not None:
                # Where nothing is padded, generate leaves the mask out.
                mask, asked = torch.ones_like(ids) if mask is None else mask, ids.shape[1] - self.num_said
                self.begin(ids[:, :asked], mask[:, :asked])
        self.is_on = bool(self.has_image.any())

    def _stop(self, *call: Any) -> None:
        self.is_on, self.num_said = False, 0

    def _steer(self, place: int) -> Callable[[nn.Module, tuple, torch.Tensor], torch.Tensor | None]:
        def steer(module: nn.Module, args: tuple, states: torch.Tensor) -> torch.Tensor | None:
            if not self.is_on:
                return None
            kept = 0 if self.positions == "all" else states.shape[1] - 1 - self.num_said
            changed = self.change(place, states[:, kept:]).to(states.dtype)
            steered = torch.where(self.has_image[:, None, None], changed, states[:, kept:])
            return torch.cat([states[:, :kept], steered], dim=1)

        return steer
