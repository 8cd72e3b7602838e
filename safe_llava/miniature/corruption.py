"""Damage that real images carry: sensor noise, blur, JPEG artefacts."""

import io

import numpy as np
from PIL import Image, ImageFilter


NOISE_STD = 14.0
BLUR_RADIUS = 0.7
JPEG_QUALITY = 40


def corrupt(image: Image.Image, corruption: str, generator: np.random.Generator, strength: float = 1.0) -> Image.Image:
    """
    Damages an RGB image.

    Args:
        image (`PIL.Image.Image`): what to damage; it is left as it is.
        corruption (`str`):
            "noise" (Gaussian, standard deviation 14 of 255), "blur" (Gaussian, radius 0.7 pixels) or "jpeg" (quality
            40).
        generator (`np.random.Generator`): source of the noise.
        strength (`float`, *optional*, defaults to 1.0): times as much noise and blur, and that part of the quality.
    """
    if corruption == "noise":
        pixels = np.asarray(image, dtype=np.float32)
        noisy = pixels + generator.normal(0.0, NOISE_STD * strength, pixels.shape)
        return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    if corruption == "blur":
        return image.filter(ImageFilter.GaussianBlur(BLUR_RADIUS * strength))
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=round(JPEG_QUALITY / strength))
    return Image.open(file).convert("RGB")
