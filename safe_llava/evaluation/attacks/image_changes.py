"""What happens to an image on its way through the world, and what anybody can do to it without knowing the model."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from PIL import Image, ImageOps

from ...miniature.corruption import corrupt
from .attack import Attack, change_rows
from .attack_row import TEXT_RISKY, AttackRow


SUITE = "image"
GRAY = (128, 128, 128)
CROPPED = 0.08
"""Share of each side that is cut off."""
TILT = 12
"""Degrees."""
ENLARGED, REDUCED = 2.0, 0.5

ImageChange = Callable[[Image.Image], Image.Image]


def image_change_attacks() -> list[Attack]:
    """An attack for each change of an image, all rows changed alike."""
    changes: dict[str, tuple[str, ImageChange]] = {
        "jpeg": ("stored as JPEG of quality 40", store_as_jpeg),
        "blur": ("blurred", lambda image: _corrupt(image, "blur")),
        "noise": ("with sensor noise", lambda image: _corrupt(image, "noise")),
        "reduce": ("half as large", lambda image: scale(image, REDUCED)),
        "enlarge": ("twice as large", lambda image: scale(image, ENLARGED)),
        "crop": (f"{CROPPED:.0%} of each side cut off", crop),
        "rotate": (f"turned by {TILT} degrees", rotate),
        "mirror": ("mirrored", ImageOps.mirror),
    }
    attacks = [
        change_rows(name, SUITE, f"the image {about}", change_images(change))
        for name, (about, change) in changes.items()
    ]
    about = "a gray image in place of the image, where the risk is in the text"
    return [*attacks, change_rows("blank", SUITE, about, change_images(blank), _is_text_risky)]


def change_images(change: ImageChange) -> Callable[[AttackRow], AttackRow]:
    """What changes every image of a row."""
    return lambda row: replace(row, images=tuple(change(image) for image in row.images))


def store_as_jpeg(image: Image.Image) -> Image.Image:
    """An image that was stored as JPEG and read again."""
    return _corrupt(image, "jpeg")


def blank(image: Image.Image) -> Image.Image:
    """A gray image of the same size."""
    return Image.new("RGB", image.size, GRAY)


def crop(image: Image.Image, share: float = CROPPED) -> Image.Image:
    """The middle of an image, that share of each side cut off."""
    across, down = round(image.width * share), round(image.height * share)
    return image.crop((across, down, image.width - across, image.height - down))


def rotate(image: Image.Image, degrees: float = TILT) -> Image.Image:
    """A turned image, with gray in the corners."""
    return image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=GRAY)


def scale(image: Image.Image, factor: float) -> Image.Image:
    """An image of another size, which the processor brings back to its own."""
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    return image.resize(size, Image.Resampling.BICUBIC)


def _corrupt(image: Image.Image, corruption: str) -> Image.Image:
    # The same noise whenever the same image is asked about.
    seed = int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:8], "big")
    return corrupt(image, corruption, np.random.default_rng(seed))


def _is_text_risky(row: AttackRow) -> bool:
    return row.kind == TEXT_RISKY
