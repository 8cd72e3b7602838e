"""Reads picture files of every kind into plain RGB, as a person would see them, or says why that cannot be done."""

import io
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError


MAX_PIXELS = 89_478_485
"""Largest picture that is decoded, in pixels: where Pillow starts to warn of decompression bombs."""


# Those that Pillow decodes by itself: no PostScript, which it hands to Ghostscript, and no containers that hold
# pictures among other things.
_FORMATS = (
    *("AVIF", "BMP", "DDS", "DIB", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000"),
    *("PCX", "PNG", "PPM", "PSD", "QOI", "SGI", "TIFF", "WEBP"),
)
# These have no mark to be known by, and are read only where the name says so.
_FORMATS_BY_NAME = {".tga": "TGA", ".xbm": "XBM"}


class UnreadableImageError(ValueError):
    """
    A picture that cannot be decoded.

    Args:
        message (`str`): what is wrong, with the picture's name.
        kind (`str`): "missing", "not a picture", "too large", "cut off" or "broken".
    """

    def __init__(self, message: str, kind: str):
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class LoadedImage:
    """
    A decoded picture.

    Args:
        image (`PIL.Image.Image`): the picture in RGB, upright, on white where it was transparent.
        notes (`tuple[str, ...]`): what a reader of a verdict should know, such as that only one frame was looked at.
    """

    image: Image.Image
    notes: tuple[str, ...] = ()


def read_image(source: str | os.PathLike | bytes, max_pixels: int = MAX_PIXELS) -> LoadedImage:
    """
    Decodes a picture to its last pixel.

    Args:
        source (`str`, `os.PathLike` or `bytes`): a file, or the encoded picture itself.
        max_pixels (`int`, *optional*, defaults to 89,478,485): larger pictures are refused before they are decoded.

    Returns:
        [`LoadedImage`], with a note for an animation (its first frame is taken), and for a file whose name says
        another format than its contents.

    Raises:
        UnreadablePictureError: if it is no picture, cut off, or larger than `max_pixels`.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    path = None if isinstance(source, bytes) else Path(source)
    name = "the picture" if path is None else f"the picture {path}"
    try:
        with Image.open(file, formats=_formats(path)) as image:
            if image.width * image.height > max_pixels:
                raise UnreadableImageError(
                    f"{name} has {image.width} x {image.height} pixels; at most {max_pixels} are decoded", "too large"
                )
            notes = _notes(image, path)
            return LoadedImage(to_rgb(ImageOps.exif_transpose(image)), notes)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        # Pillow's own message holds a memory address, which is another in every run.
        raise UnreadableImageError(f"{name} is in no picture format that is read", "not a picture") from error
    except Exception as error:  # Pillow's decoders raise whatever type fits their format.
        raise UnreadableImageError(f"{name} cannot be read: {error}", _kind(error)) from error


def is_image_name(path: str | os.PathLike) -> bool:
    """Whether a file is named like a picture."""
    return Image.registered_extensions().get(Path(path).suffix.lower()) in _formats(Path(path))


def is_image_file(path: str | os.PathLike) -> bool:
    """Whether a file begins as a picture does, whatever its name."""
    try:
        with Image.open(path, formats=_formats(Path(path))):
            return True
    except Exception:  # As above.
        return False


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts a picture of any mode to RGB: 16-bit values are scaled, not clipped, and transparency becomes white."""
    if image.mode.startswith("I;16") or image.mode == "I":
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        opaque = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", opaque.size, "white"), opaque).convert("RGB")
    return image.convert("RGB")


def _notes(image: Image.Image, path: Path | None) -> tuple[str, ...]:
    notes = []
    if (frames := getattr(image, "n_frames", 1)) > 1:
        notes.append(f"first of {frames} frames")
    if path is not None and path.suffix:
        named = Image.registered_extensions().get(path.suffix.lower())
        if named is not None and named != image.format and {named, image.format} != {"JPEG", "MPO"}:
            notes.append(f"named {path.suffix} but {image.format}")
    return tuple(notes)


def _formats(path: Path | None) -> tuple[str, ...]:
    named = None if path is None else _FORMATS_BY_NAME.get(path.suffix.lower())
    return _FORMATS if named is None else (*_FORMATS, named)


def _kind(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "missing"
    if isinstance(error, Image.DecompressionBombError):
        return "too large"
    return "cut off" if "truncated" in str(error) else "broken"
