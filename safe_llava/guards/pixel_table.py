"""Images as an image processor encodes them, to the last bit, at hardly more than the cost of scaling them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import BaseImageProcessor

from ..models.onnx_pixels import resize_and_crop


_PROBES = ((61, 97), (97, 61), (640, 480), (8, 8))
"""Sizes at which a table is held against its image processor."""


class PixelTable:
    """
    What an image processor makes of each 8-bit value of each channel. Scaling and cropping aside, that is all that
    those of CLIP and SigLIP do to an image, so it is asked once for all 256 values, and then looked up.

    Args:
        image_processor ([`~transformers.BaseImageProcessor`]): the image processor.
        values (`np.ndarray` of shape `(3, 256)`): what it makes of them.
    """

    def __init__(self, image_processor: BaseImageProcessor, values: np.ndarray):
        self._settings: dict[str, Any] = image_processor.to_dict()
        self._values = values

    @classmethod
    def of(cls, image_processor: BaseImageProcessor) -> "PixelTable | None":
        """The table of an image processor; `None` where it does something else, such as cutting images into tiles."""
        try:
            ramp = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(1, 256, 3)
            as_it_is = {"do_resize": False, "do_center_crop": False, "return_tensors": "pt"}
            asked = image_processor([Image.fromarray(ramp)], **as_it_is)
            table = cls(image_processor, asked["pixel_values"][0, :, 0].numpy())
            settings = table._settings
            is_fixed = settings.get("do_resize") and "shortest_edge" not in settings["size"]
            if not (is_fixed or settings.get("do_center_crop")):  # Images of one row may have several shapes.
                return None
            noise = np.random.default_rng(0)
            for width, height in _PROBES:
                image = Image.fromarray(noise.integers(0, 256, (height, width, 3), dtype=np.uint8))
                expected, found = image_processor([[image]], return_tensors="pt"), table.encode([image])
                if expected.keys() != found.keys() or not torch.equal(expected["pixel_values"], found["pixel_values"]):
                    return None
        except (KeyError, IndexError, TypeError, ValueError):  # It has other settings, or gives other shapes.
            return None
        return table

    def encode(self, images: Sequence[Image.Image]) -> dict[str, torch.Tensor]:
        """
        Encodes the images of one row.

        Args:
            images (`Sequence[PIL.Image.Image]`): images in RGB.

        Returns:
            `dict[str, torch.Tensor]`: `pixel_values` of shape `(num_images, 3, height, width)`.
        """
        scaled = [np.asarray(resize_and_crop(image, self._settings)) for image in images]
        encoded = np.stack(
            [np.stack([row[each[..., place]] for place, row in enumerate(self._values)]) for each in scaled]
        )
        return {"pixel_values": torch.from_numpy(encoded)}
