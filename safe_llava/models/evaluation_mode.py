"""Asks a model as it will be used, also in the midst of its training."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """
    Evaluation mode for a while: dropout would give answers that nobody gets again.

    Args:
        model (`nn.Module`): each of its modules gets its own mode back.
    """
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
