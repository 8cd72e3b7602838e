"""Activation checkpointing for as many layers as the memory asks for, and no more."""

from typing import Any

from transformers import PreTrainedModel, TrainerCallback


class SpareLastLayers(TrainerCallback):
    """
    With `gradient_checkpointing`, lets the language model's last layers keep their activations instead of computing
    them a second time. The last ones, because backward has freed theirs before it recomputes the first.

    Args:
        num_layers (`int`): how many layers to spare; all of them where there are fewer.
    """

    def __init__(self, num_layers: int):
        self.num_layers = num_layers

    def on_train_begin(self, args: Any, state: Any, control: Any, model: PreTrainedModel, **kwargs: Any) -> None:
        layers = model.get_decoder().layers
        for layer in layers[max(len(layers) - self.num_layers, 0) :]:
            layer.gradient_checkpointing = False
