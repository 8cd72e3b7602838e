"""
ICET: the images' features are taken from another layer of the vision tower than the trained one ("Unfair Alignment",
arXiv 2411.04291). Projector and language model stay as they are.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

from ...models.vision_features import find_vision_layers
from .attack import Attack
from .attack_reply import AttackReply
from .attack_row import AttackRow
from .attack_target import AttackTarget


SUITE = "icet"


def early_layer_attacks(target: AttackTarget) -> list[Attack]:
    """
    For every layer of the tower two attacks: `icet_language/L` moves what the language model reads while the head
    goes on with the layer that it was trained on; `icet_both/L` moves `config.vision_feature_layer` of the loaded
    model, and with it what the head reads, which costs the model its trust. A model without a head has the second
    alone.
    """
    attacks = []
    for layer in range(1, count_layers(target) + 1):
        if target.has_head:
            about = f"the language model reads layer {layer} of the vision tower, the head its own"
            attacks.append(Attack(f"icet_language/{layer}", SUITE, about, _move_language(layer)))
        about = f"language model and head read layer {layer} of the vision tower"
        attacks.append(Attack(f"icet_both/{layer}", SUITE, about, _move_both(layer)))
    return attacks


@torch.no_grad()
def count_layers(target: AttackTarget) -> int:
    """The layers of the vision tower whose output can be read."""
    size = target.model.config.vision_config.image_size
    height, width = (size, size) if isinstance(size, int) else size
    blank = torch.zeros(1, 3, height, width, device=target.model.device, dtype=target.model.dtype)
    features: Any = target.model.get_image_features(blank, return_dict=True)
    return len(features.hidden_states) - 1


def _move_language(layer: int):
    def attempt(target: AttackTarget, rows: Sequence[AttackRow]) -> list[AttackReply]:
        def read_images(pixel_values: torch.Tensor) -> Any:
            features: Any = target.model.get_image_features(pixel_values)
            moved: Any = target.model.get_image_features(
                pixel_values, vision_feature_layer=_as_many(target.model, layer)
            )
            features.pooler_output = moved.pooler_output
            return features

        return target.ask(rows, read_images)

    return attempt


def _move_both(layer: int):
    def attempt(target: AttackTarget, rows: Sequence[AttackRow]) -> list[AttackReply]:
        with moved_tower(target.model, layer):
            return target.ask(rows)

    return attempt


@contextmanager
def moved_tower(model: PreTrainedModel, layer: int) -> Iterator[None]:
    """While it lasts, the config of a loaded model names another layer."""
    trained = model.config.vision_feature_layer
    model.config.vision_feature_layer = _as_many(model, layer)
    try:
        yield
    finally:
        model.config.vision_feature_layer = trained


def _as_many(model: PreTrainedModel, layer: int) -> int | list[int]:
    """A layer as often as the projector expects layers side by side."""
    layers = find_vision_layers(model.config)
    return layer if isinstance(model.config.vision_feature_layer, int) else [layer] * len(layers)
