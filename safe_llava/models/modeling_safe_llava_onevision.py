"""SafeLLaVA-OneVision: LLaVA-OneVision with a safety projector, safety tokens and a safety head.

The only image of a row is cut into a base tile, which shows all of it, and tiles of parts of it; several images of a
row are a tile each. The head reads the base tile, or all of them (`config.safety_tiles`). Videos are refused: their
frames are given as images of one row.
Paper: "Safety Alignment for Vision Language Models", arXiv 2405.13581; details from arXiv 2411.11543.
"""

from typing import Any

import torch
from transformers import (
    LlavaOnevisionForConditionalGeneration,
    LlavaOnevisionModel,
    LlavaOnevisionPreTrainedModel,
)
from transformers.generation import GenerationMixin

from .configuration_safe_llava_onevision import SafeLlavaOnevisionConfig
from .image_batches import require_sizes
from .image_tiles import TileGrid, find_tile_grid
from .modeling_safety_base import SafetyCausalLMMixin, SafetyModelMixin
from .modeling_safety_guard import SafetyClassificationMixin, SafetyGuardModelMixin
from .pretrained_safe_llava import SafeLlavaPreTrainedModel


class SafeLlavaOnevisionTiles(SafeLlavaPreTrainedModel):
    """How images are cut, as the whole model and the guard both know it."""

    image_arguments = ("image_sizes", "batch_num_images")

    def find_tiles(self, image_sizes: Any = None, batch_num_images: Any = None, **others: Any) -> list[TileGrid]:
        """How each image is cut, by its height and width and by the number of images in each row that has some."""
        sizes = require_sizes(image_sizes)
        numbers = [1] * len(sizes) if batch_num_images is None else torch.as_tensor(batch_num_images).tolist()
        is_alone = [number == 1 for number in numbers for _ in range(number)]
        return [find_tile_grid(self.config, size, alone) for size, alone in zip(sizes, is_alone, strict=True)]


class SafeLlavaOnevisionModel(SafeLlavaOnevisionTiles, SafetyModelMixin, LlavaOnevisionModel):
    """The vision tower, the projector, the language model and the safety modules, without a language-model head."""

    config: SafeLlavaOnevisionConfig


class SafeLlavaOnevisionForConditionalGeneration(
    SafeLlavaOnevisionTiles, SafetyCausalLMMixin, LlavaOnevisionForConditionalGeneration, GenerationMixin
):
    """
    A LLaVA-OneVision that assesses images and the question before it answers. It is used as
    [`SafeLlavaForConditionalGeneration`] is.
    """

    config: SafeLlavaOnevisionConfig
    inner_class = SafeLlavaOnevisionModel


class SafeLlavaOnevisionGuardModel(SafeLlavaOnevisionTiles, SafetyGuardModelMixin, LlavaOnevisionPreTrainedModel):
    """The parts of [`SafeLlavaOnevisionModel`] that a verdict needs, under the same names."""

    config: SafeLlavaOnevisionConfig

    def count_rows(self, num_patches: int, num_images: int, **image_arguments: Any) -> list[int]:
        """How many rows of the language model each image takes beside the safety tokens: packed without their data."""
        tiles = self.find_tiles(**image_arguments)
        features = [torch.empty((grid.num_tiles, num_patches, 1), device="meta") for grid in tiles]
        sizes = require_sizes(image_arguments["image_sizes"])
        packed, _ = LlavaOnevisionModel.pack_image_features(
            self,  # type: ignore[arg-type]
            features,
            sizes,
            image_newline=torch.empty(1, device="meta"),
            vision_aspect_ratio=self.config.vision_aspect_ratio,
        )
        return [len(rows) for rows in packed]


class SafeLlavaOnevisionForSafetyClassification(
    SafeLlavaOnevisionTiles, SafetyClassificationMixin, LlavaOnevisionPreTrainedModel
):
    """
    Assesses images and their questions as [`SafeLlavaOnevisionForConditionalGeneration`] of the same checkpoint does,
    and cannot answer them. It is used as [`SafeLlavaForSafetyClassification`] is.
    """

    config: SafeLlavaOnevisionConfig
    inner_class = SafeLlavaOnevisionGuardModel


# The code travels with every checkpoint, so that it loads with `trust_remote_code=True` where the package is missing.
SafeLlavaOnevisionForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")
SafeLlavaOnevisionForSafetyClassification.register_for_auto_class("AutoModelForImageClassification")

__all__ = [
    "SafeLlavaOnevisionForConditionalGeneration",
    "SafeLlavaOnevisionForSafetyClassification",
    "SafeLlavaOnevisionGuardModel",
    "SafeLlavaOnevisionModel",
]
