"""Images as the vision tower takes them, made with Pillow and numpy from the settings of an image processor."""

from typing import Any

import numpy as np
from PIL import Image


BASE_TILE_SIZE = "base_tile_size"
"""Width and height that all of an image is first resized to, where the image processor cuts images: the base tile."""
SQUARES = "pads_several_to_squares"
"""Whether several images of a prompt, which are not cut then, become squares by bars of the mean color."""


def to_pixel_values(image: Image.Image, settings: dict[str, Any], is_alone: bool = True) -> np.ndarray:
    """
    Resizes, crops, rescales and normalises an image, as the image processors of CLIP and SigLIP do; where those of
    LLaVA-NeXT and LLaVA-OneVision cut it into tiles, what they make the base tile, which is all that a guard sees.

    Args:
        image (`PIL.Image.Image`): the image in RGB.
        settings (`dict`): an image processor's `to_dict()`, and for those that cut [`BASE_TILE_SIZE`] and [`SQUARES`].
        is_alone (`bool`, *optional*, defaults to `True`): whether it is the only image of its prompt.

    Returns:
        `np.ndarray` of shape `(3, height, width)`, float32.
    """
    if settings.get(SQUARES) and not is_alone:
        image = _pad_to_square(image, settings["image_mean"])
    elif (size := settings.get(BASE_TILE_SIZE)) is not None:
        image = image.resize(size, resample=settings["resample"])
    values = np.asarray(resize_and_crop(image, settings), dtype=np.float32)
    if settings.get("do_rescale"):
        values = values * np.float32(settings["rescale_factor"])
    if settings.get("do_normalize"):
        mean, std = (np.asarray(settings[name], dtype=np.float32) for name in ("image_mean", "image_std"))
        values = (values - mean) / std
    return np.ascontiguousarray(values.transpose(2, 0, 1))


def resize_and_crop(image: Image.Image, settings: dict[str, Any]) -> Image.Image:
    """What an image processor of these settings does to an image before it looks at values."""
    if settings.get("do_resize"):
        image = image.resize(_target_size(image, settings["size"]), resample=settings["resample"])
    if settings.get("do_center_crop"):
        image = _crop(image, settings["crop_size"]["width"], settings["crop_size"]["height"])
    return image


def _target_size(image: Image.Image, size: dict[str, int]) -> tuple[int, int]:
    if "shortest_edge" not in size:
        return size["width"], size["height"]
    shortest = min(image.size)
    width, height = (
        size["shortest_edge"] if side == shortest else int(size["shortest_edge"] * side / shortest)
        for side in image.size
    )
    return width, height


def _crop(image: Image.Image, width: int, height: int) -> Image.Image:
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _pad_to_square(image: Image.Image, mean: list[float]) -> Image.Image:
    side, color = max(image.size), tuple(int(255 * value) for value in mean)
    square = Image.new("RGB", (side, side), color)
    square.paste(image, ((side - image.width) // 2, (side - image.height) // 2))
    return square
