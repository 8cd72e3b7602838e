"""The image of a request: one square, or, where a model cuts images, four tiles beside the base tile."""

from typing import Any

import torch

from safe_llava.family import FAMILY
from safe_llava.models.safety_configuration import SafetyConfigMixin

from .shapes import safe_config


def count_image_rows(config: Any) -> int:
    """The positions of a prompt that the image takes, of a stock LLaVA or a SafeLLaVA."""
    if not _cuts_images(config):
        return config.image_seq_length
    num_patches = (config.vision_config.image_size // config.vision_config.patch_size) ** 2
    (rows,) = _build_guard(config).count_rows(num_patches, 1, image_sizes=[_image_size(config)])
    return rows + (config.num_safety_tokens if isinstance(config, SafetyConfigMixin) else 0)


def make_images(config: Any, batch_size: int, device: str, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """Noise, seed 0, as the processor would give it: an image a row."""
    size = config.vision_config.image_size
    tiles, sizes = [], {}
    if _cuts_images(config):
        tiles = [grid.num_tiles for grid in _build_guard(config).find_tiles(image_sizes=[_image_size(config)])]
        sizes = {"image_sizes": torch.tensor([_image_size(config)] * batch_size)}
    pixels = torch.randn(batch_size, *tiles, 3, size, size, generator=torch.Generator().manual_seed(0))
    return {"pixel_values": pixels.to(device, dtype), **sizes}


def _cuts_images(config: Any) -> bool:
    return getattr(config, "image_grid_pinpoints", None) is not None


def _image_size(config: Any) -> tuple[int, int]:
    """Twice as high and as wide as a tile."""
    return (2 * config.vision_config.image_size, 2 * config.vision_config.image_size)


def _build_guard(config: Any) -> Any:
    """What knows without weights how images are cut."""
    safe = config if isinstance(config, SafetyConfigMixin) else safe_config(config)
    with torch.device("meta"):
        return FAMILY[safe.model_type].guard(safe).model
