"""Training of a SafeLLaVA with trl: the trainer, its collator and what the two stages train."""

from .checkpointing import SpareLastLayers
from .collator import SafeDataCollator
from .random_layers import draw_vision_layers
from .stages import LANGUAGE_MODEL_LINEAR_LAYERS, merge_adapter, train_only_safety_modules
from .trainer import SafeSFTTrainer


__all__ = [
    "LANGUAGE_MODEL_LINEAR_LAYERS",
    "SafeDataCollator",
    "SafeSFTTrainer",
    "SpareLastLayers",
    "draw_vision_layers",
    "merge_adapter",
    "train_only_safety_modules",
]
