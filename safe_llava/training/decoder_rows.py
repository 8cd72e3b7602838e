"""Lets the language model run over those rows of a batch alone whose answers it learns."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


_OF_ROWS = ("inputs_embeds", "attention_mask", "position_ids")


@contextmanager
def run_answered_rows(language_model: nn.Module, labels: torch.Tensor) -> Iterator[None]:
    """
    Within it, the language model gets the rows that have a label token, and 0 stands for the hidden states of the
    others. The safety head reads what it reads from all rows. Where no row has an answer the first one runs: several
    processes must call the same layers, and a loss must be connected to what it trains.

    Args:
        language_model (`nn.Module`): the decoder layers, called with `inputs_embeds`.
        labels (`torch.LongTensor` of shape `(batch_size, sequence_length)`): -100 where nothing is learned.
    """
    kept = (labels != -100).any(dim=1)
    kept[0] |= ~kept.any()
    if kept.all():
        yield
        return

    def drop_rows(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        given = {name: kwargs[name] for name in _OF_ROWS if kwargs.get(name) is not None}
        return args, kwargs | {name: value[kept] for name, value in given.items() if len(value) == len(kept)}

    def put_back(module: nn.Module, args: tuple, output: Any) -> Any:
        hidden = output.last_hidden_state
        whole = hidden.new_zeros(len(kept), *hidden.shape[1:])
        output.last_hidden_state = whole.index_put((kept.nonzero(as_tuple=True)[0],), hidden)
        return output

    hooks = [
        language_model.register_forward_pre_hook(drop_rows, with_kwargs=True),
        language_model.register_forward_hook(put_back),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
