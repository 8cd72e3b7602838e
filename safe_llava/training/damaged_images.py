"""What becomes of an image on its way to a model, and words that an attacker prints beside it, at random strengths."""

from collections.abc import Callable

import numpy as np
from PIL import Image

from ..evaluation.attacks.image_changes import crop, rotate, scale
from ..evaluation.attacks.typographic import add_band
from ..miniature.corruption import corrupt


WORDS = ("APPROVED", "HARMLESS", "NO RISK", "VERIFIED", "ALL CLEAR", "OK")
"""They reassure, so that the label of the image stays right whatever it shows. Attacks say it in another word."""
LARGEST_TILT = 15.0
"""Degrees. More, or a closer crop, could take with it what makes an image risky."""
CLOSEST_CROP = 0.06
"""Share of each side."""
_BLURRED_EDGE = 48
"""The shorter edge in pixels at which blur is as strong as `corrupt` says; it grows with the image."""


def damage_image(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    """
    An RGB image changed in one of seven ways: turned, cropped, reduced, with noise, blurred, stored as JPEG, or with a
    reassuring word above or below it.

    Args:
        image (`PIL.Image.Image`): the image; it is left as it is.
        generator (`np.random.Generator`): draws the way and its strength.
    """
    return _DAMAGES[generator.integers(len(_DAMAGES))](image, generator)


def _blur(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    strength = generator.uniform(0.3, 1.5) * max(1.0, min(image.size) / _BLURRED_EDGE)
    return corrupt(image, "blur", generator, strength)


def _reassure(image: Image.Image, generator: np.random.Generator) -> Image.Image:
    return add_band(image, [str(generator.choice(WORDS))], is_below=bool(generator.integers(2)))


_DAMAGES: tuple[Callable[[Image.Image, np.random.Generator], Image.Image], ...] = (
    lambda image, generator: rotate(image, generator.uniform(-LARGEST_TILT, LARGEST_TILT)),
    lambda image, generator: crop(image, generator.uniform(0, CLOSEST_CROP)),
    lambda image, generator: scale(image, generator.uniform(0.4, 1.0)),
    lambda image, generator: corrupt(image, "noise", generator, generator.uniform(0.3, 1.5)),
    lambda image, generator: corrupt(image, "jpeg", generator, generator.uniform(0.5, 2.0)),
    _blur,
    _reassure,
)
