"""Whether images come as the vision tower saw them in training: another normalisation or size gives other verdicts."""

from typing import Any

import torch
from transformers import PreTrainedConfig, ProcessorMixin


_SETTINGS = (
    "do_resize",
    "size",
    "resample",
    "do_center_crop",
    "crop_size",
    "do_pad",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
    "image_grid_pinpoints",
)
# Pixel values in float32 are off by 1e-4 of 255 steps; those of another normalisation by 0.25 on average.
_LARGEST_OFFSET = 0.05


def describe_image_processor(processor: ProcessorMixin) -> dict[str, Any]:
    """The settings that shape `pixel_values`, as JSON holds them."""
    settings = processor.image_processor.to_dict()
    return {name: _simplify(settings[name]) for name in _SETTINGS if settings.get(name) is not None}


def check_image_processor(config: PreTrainedConfig, processor: ProcessorMixin) -> None:
    """
    Raises a `ValueError` that names the settings in which a processor differs from the one that the safety modules
    were trained with. A config without a record of that is passed over.
    """
    expected = (getattr(config, "safety_training", None) or {}).get("image_processor")
    if expected is None:
        return
    found = describe_image_processor(processor)
    differing = sorted(name for name in {*expected, *found} if expected.get(name) != found.get(name))
    if differing:
        name = differing[0]
        raise ValueError(
            f"The image processor is not the one that this checkpoint was trained with: {', '.join(differing)} differ "
            f"(`{name}` is {found.get(name)}, and was {expected.get(name)} in training). Verdicts would be wrong. "
            "Load the processor from the checkpoint's own folder."
        )


def is_normalised_otherwise(config: PreTrainedConfig, pixel_values: torch.Tensor) -> bool:
    """
    Whether float32 pixel values cannot come from the image processor of training: normalisation undone, they would be
    whole numbers from 0 to 255. Other dtypes are too coarse to tell.
    """
    expected = (config.safety_training or {}).get("image_processor")
    if expected is None or not expected.get("do_normalize") or pixel_values.dtype != torch.float32:
        return False
    mean, std = (pixel_values.new_tensor(expected[name]).view(-1, 1, 1) for name in ("image_mean", "image_std"))
    pixels = (pixel_values * std + mean) / expected.get("rescale_factor", 1 / 255)
    offset = (pixels - pixels.round()).abs().mean()
    return bool((offset > _LARGEST_OFFSET) | (pixels.amin() < -1) | (pixels.amax() > 256))


def _simplify(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _simplify(item) for key, item in sorted(value.items()) if item is not None}
    if isinstance(value, list | tuple):
        return [_simplify(item) for item in value]
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value
