"""Between the images that the vision tower sees, in steps of 1/255, and the values that a model is given."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from PIL import Image

from ...pixel_scale import LARGEST, PixelScale
from .attack_row import AttackRow
from .attack_target import AttackTarget


_TOLERANCE = 1e-2


class PixelSpace:
    """
    The images of some rows at the size that the tower sees, where an attacker who knows the model changes them: what
    is changed there goes through the processor unchanged.

    Args:
        target ([`AttackTarget`]): knows the processor.
        rows (`Sequence[AttackRow]`): rows with at least one image each.

    Raises:
        ValueError: if the processor does more with images than to scale, crop and normalise them to one size.
    """

    def __init__(self, target: AttackTarget, rows: Sequence[AttackRow]):
        self.rows = list(rows)
        self.inputs = target.encode(rows)
        expected = self.inputs.pop("pixel_values")
        self._scale, self._dtype = PixelScale(target.processor), expected.dtype
        images = [image for row in rows for image in row.images]
        resized = target.processor.image_processor(images, do_rescale=False, do_normalize=False, return_tensors="pt")[
            "pixel_values"
        ]
        self.pixels = resized.to(expected.device, torch.float32).round().clamp(0, LARGEST)
        is_plain = self.pixels.ndim == 4 and self.pixels.shape == expected.shape
        tolerance = _TOLERANCE + 4 * torch.finfo(expected.dtype).eps
        if not is_plain or (self.normalise(self.pixels) - expected).abs().max() > tolerance:
            raise ValueError(
                f"{type(target.processor.image_processor).__name__} does more with an image than to scale, crop and "
                "normalise it, so what an attack changes cannot be followed back to the image. Leave out the suites "
                "that change pixels."
            )
        # Rows with several images have several tensors.
        self.image_rows = torch.tensor(
            [place for place, row in enumerate(rows) for _ in row.images], device=expected.device
        )

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the model is given for pixels from 0 to 255; gradients go through."""
        return self._scale.normalise(pixels).to(self._dtype)

    def select(self, places: Sequence[int]) -> torch.Tensor:
        """The images of some rows, as indices."""
        return torch.isin(self.image_rows, torch.tensor(list(places), device=self.image_rows.device)).nonzero()[:, 0]

    def to_rows(self, pixels: torch.Tensor) -> list[AttackRow]:
        """The rows with changed images, which are images again: of 8 bits, with no value beyond the valid ones."""
        values = pixels.detach().round().clamp(0, LARGEST).to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
        images = [Image.fromarray(np.ascontiguousarray(value)) for value in values]
        owners = self.image_rows.tolist()
        return [
            replace(row, images=tuple(image for image, owner in zip(images, owners) if owner == place))
            for place, row in enumerate(self.rows)
        ]
