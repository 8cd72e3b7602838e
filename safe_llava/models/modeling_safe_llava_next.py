"""SafeLLaVA-NeXT: LLaVA-NeXT (LLaVA-1.6) with a safety projector, safety tokens and a safety head.

Images are cut into a base tile, which shows all of an image, and tiles of parts of it. The head reads the base tile,
or all of them (`config.safety_tiles`).
Paper: "Safety Alignment for Vision Language Models", arXiv 2405.13581; details from arXiv 2411.11543.
"""

from typing import Any

import torch
from transformers import LlavaNextForConditionalGeneration, LlavaNextModel, LlavaNextPreTrainedModel
from transformers.generation import GenerationMixin

from .configuration_safe_llava_next import SafeLlavaNextConfig
from .image_batches import require_sizes
from .image_tiles import TileGrid, find_tile_grid
from .modeling_safety_base import SafetyCausalLMMixin, SafetyModelMixin
from .modeling_safety_guard import SafetyClassificationMixin, SafetyGuardModelMixin
from .pretrained_safe_llava import SafeLlavaPreTrainedModel


class SafeLlavaNextTiles(SafeLlavaPreTrainedModel):
    """How images are cut, as the whole model and the guard both know it."""

    def find_tiles(self, image_sizes: Any = None, **image_arguments: Any) -> list[TileGrid]:
        """How each image is cut, by its height and width."""
        return [find_tile_grid(self.config, size) for size in require_sizes(image_sizes)]


class SafeLlavaNextModel(SafeLlavaNextTiles, SafetyModelMixin, LlavaNextModel):
    """The vision tower, the projector, the language model and the safety modules, without a language-model head."""

    config: SafeLlavaNextConfig


class SafeLlavaNextForConditionalGeneration(SafetyCausalLMMixin, LlavaNextForConditionalGeneration, GenerationMixin):
    """
    A LLaVA-NeXT that assesses images and the question before it answers. It is used as
    [`SafeLlavaForConditionalGeneration`] is.
    """

    config: SafeLlavaNextConfig
    inner_class = SafeLlavaNextModel


class SafeLlavaNextGuardModel(SafeLlavaNextTiles, SafetyGuardModelMixin, LlavaNextPreTrainedModel):
    """The parts of [`SafeLlavaNextModel`] that a verdict needs, under the same names."""

    config: SafeLlavaNextConfig

    def count_rows(self, num_patches: int, num_images: int, **image_arguments: Any) -> list[int]:
        """How many rows of the language model each image takes beside the safety tokens: packed without their data."""
        tiles = self.find_tiles(**image_arguments)
        features = [torch.empty((grid.num_tiles, num_patches, 1), device="meta") for grid in tiles]
        sizes = require_sizes(image_arguments["image_sizes"])
        strategy = self.config.vision_feature_select_strategy
        newline = torch.empty(1, device="meta")
        packed, _ = LlavaNextModel.pack_image_features(self, features, sizes, strategy, newline)  # type: ignore[arg-type]
        return [len(rows) for rows in packed]


class SafeLlavaNextForSafetyClassification(SafetyClassificationMixin, LlavaNextPreTrainedModel):
    """
    Assesses images and their questions as [`SafeLlavaNextForConditionalGeneration`] of the same checkpoint does, from
    the base tiles alone, and cannot answer them. It is used as [`SafeLlavaForSafetyClassification`] is.
    """

    config: SafeLlavaNextConfig
    inner_class = SafeLlavaNextGuardModel


# The code travels with every checkpoint, so that it loads with `trust_remote_code=True` where the package is missing.
SafeLlavaNextForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")
SafeLlavaNextForSafetyClassification.register_for_auto_class("AutoModelForImageClassification")

__all__ = [
    "SafeLlavaNextForConditionalGeneration",
    "SafeLlavaNextForSafetyClassification",
    "SafeLlavaNextGuardModel",
    "SafeLlavaNextModel",
]
