"""
ICET: the images' features are taken from another layer of the vision tower than the trained one ("Unfair Alignment",
arXiv 2411.04291). Projector and language model stay as they are.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from PIL import Image
from transformers import PreTrainedModel

from .attack import Attack
from .attack_reply import AttackReply
from .attack_row import AttackRow
from .attack_target import AttackTarget


SUITE = "icet"
_GRAY_ROW = AttackRow(
    key="",
    kind="",
    messages=({"role": "user", "content": ""},),
    images=(Image.new("RGB", (64, 64), "gray"),),
    safety_level=0,
    safety_type=0,
    target="",
)


def early_layer_attacks(target: AttackTarget) -> list[Attack]:
    """
    For every layer of the tower two attacks: `icet_language/L` moves `config.vision_feature_layer` of the loaded
    model, which the language model reads, and the head goes on with the layer that it was trained on; `icet_both/L`
    moves `config.safety_feature_layer` as well, which costs the model its trust. A model without a head has the
    second alone.
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
    """The layers of the vision tower whose output can be read; 0 where it has a single hidden state."""
    inputs = target.encode([_GRAY_ROW])
    del inputs["input_ids"], inputs["attention_mask"]
    features: Any = target.model.get_image_features(**inputs, return_dict=True)
    return len(features.hidden_states) - 1


def _move_language(layer: int):
    def attempt(target: AttackTarget, rows: Sequence[AttackRow]) -> list[AttackReply]:
        with moved_tower(target.model, layer, keeps_head=True):
            return target.ask(rows)

    return attempt


def _move_both(layer: int):
    def attempt(target: AttackTarget, rows: Sequence[AttackRow]) -> list[AttackReply]:
        with moved_tower(target.model, layer):
            return target.ask(rows)

    return attempt


@contextmanager
def moved_tower(model: PreTrainedModel, layer: int, keeps_head: bool = False) -> Iterator[None]:
    """While it lasts, the config of a loaded model names another layer of the tower, as often as it named layers."""
    fields = ["vision_feature_layer", *([] if keeps_head else ["safety_feature_layer"])]
    trained = {name: getattr(model.config, name) for name in fields if hasattr(model.config, name)}
    try:
        for name, layers in trained.items():
            setattr(model.config, name, layer if isinstance(layers, int) else [layer] * len(layers))
        yield
    finally:
        for name, layers in trained.items():
            setattr(model.config, name, layers)
