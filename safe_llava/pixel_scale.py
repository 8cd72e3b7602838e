"""What the pixel values of a model's input stand for: an image's own steps, from 0 to 255."""

from typing import Any

import torch


LARGEST = 255


class PixelScale:
    """
    Between pixels from 0 to 255 and the values that an image processor makes of them; gradients go through.

    Args:
        processor ([`~transformers.ProcessorMixin`]): knows how images are rescaled and normalised.
    """

    def __init__(self, processor: Any):
        images = processor.image_processor
        factor = images.rescale_factor if getattr(images, "do_rescale", True) else 1.0
        mean, std = (images.image_mean, images.image_std) if getattr(images, "do_normalize", True) else (0.0, 1.0)
        self._mean, self._std = (torch.tensor(values).view(-1, 1, 1) / factor for values in (mean, std))

    def normalise(self, pixels: torch.Tensor) -> torch.Tensor:
        """What a model is given for pixels of shape `(..., channels, height, width)`."""
        return (pixels - self._mean.to(pixels.device)) / self._std.to(pixels.device)

    def restore(self, values: torch.Tensor) -> torch.Tensor:
        """The pixels, as float32, that a model is given these values for."""
        return values.float() * self._std.to(values.device) + self._mean.to(values.device)
