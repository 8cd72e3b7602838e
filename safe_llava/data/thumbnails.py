"""Small images for pages that hold everything they show."""

import io
from typing import Any

from ..models.image_reading import read_image


THUMBNAIL_SIZE = 256
"""Longest side of a thumbnail, in pixels."""


def make_thumbnail(source: Any) -> bytes:
    """
    A JPEG of an image, at most `THUMBNAIL_SIZE` pixels a side.

    Args:
        source (`Any`): as in [`~safe_llava.models.image_reading.read_image`].

    Raises:
        UnreadableImageError: if it cannot be decoded.
    """
    image = read_image(source).image.copy()
    # Averaged to at most twice its size, then scaled: at this size nobody sees the difference.
    image.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE), reducing_gap=1.0)
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=80)
    return file.getvalue()
