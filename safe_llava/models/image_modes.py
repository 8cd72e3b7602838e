"""Pixels of every mode, depth and colour space as 8-bit RGB: what a browser shows on a white page."""

import functools
import io
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageCms, ImageFilter, ImageOps


_GRAY = ("1", "L", "LA", "La")
_PROFILE_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK", "LAB": "Lab"}
_ROUNDING = 2
"""Levels by which a transform from sRGB to sRGB may be off."""
_FAINT = 64
"""Alpha below which a pixel counts as hidden."""
_SEAM = 3
"""Pixels that scaling smears an edge over."""
_NOTICEABLE = 32
"""Levels by which a colour must differ from another to be seen to."""
_HIDDEN_SHARE = 1e-3
"""Share of an image's pixels from which on something is worth a note."""
_PAGE_GAMMA = 2.2


def to_colors(image: Image.Image) -> Image.Image:
    """
    Converts an image to 8 bits of sRGB, upright.

    Grey values of more than 8 bits are scaled as [`scale_to_8_bits`] says. EXIF orientation, a valid ICC profile of
    the image's own colours and a PNG's gamma are applied; those that are broken are passed over.

    Args:
        image (`PIL.Image.Image`): a decoded image of any mode.

    Returns:
        An image in RGB, or in RGBA where parts of it are transparent; nothing of the file's metadata is left on it.

    Raises:
        ValueError: if values are not finite.
    """
    info = dict(image.info)
    is_inverted = image.mode.startswith("I;16") and getattr(image, "tag_v2", {}).get(262) == 0  # TIFF: white is 0.
    image = _turn_upright(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _gray_of(image, is_inverted)
    if image.mode == "La":
        image = image.convert("LA")
    alpha = image.convert("RGBA").getchannel("A") if image.has_transparency_data else None
    colors = _to_srgb(image, info)
    if alpha is not None:
        # Where one colour or one palette entry is the transparent one, it hides nothing: it is the same everywhere.
        is_key = image.mode in ("1", "L", "RGB", "P") and isinstance(info.get("transparency"), int | tuple)
        colors.putalpha(alpha)
        colors = lay_on_white(colors) if is_key else colors
    colors.info = {}
    return colors


def lay_on_white(colors: Image.Image) -> Image.Image:
    """An image of [`to_colors`] in RGB, with white where it is transparent."""
    if colors.mode == "RGB":
        return colors
    return Image.alpha_composite(Image.new("RGBA", colors.size, "white"), colors).convert("RGB")


def hides_content(colors: Image.Image) -> bool:
    """
    Whether parts of an image that are as good as transparent hold something else than the white that is shown there:
    a colour, or white on black. Black alone is what programs leave where nothing was drawn.

    Args:
        colors (`PIL.Image.Image`): from [`to_colors`].
    """
    if colors.mode == "RGB":
        return False
    pixels = np.asarray(colors)
    # The seam of a cut-out is faint and coloured too, but close to what shows.
    shows = colors.getchannel("A").point([0] * _FAINT + [255] * (256 - _FAINT))
    hidden = pixels[np.asarray(shows.filter(ImageFilter.BoxBlur(_SEAM))) == 0][:, :3]
    is_black = (hidden < _NOTICEABLE).all(axis=1)
    is_white = (hidden > 255 - _NOTICEABLE).all(axis=1)
    black, white = int(is_black.sum()), int(is_white.sum())
    least = max(1.0, _HIDDEN_SHARE * pixels[..., 0].size)
    return len(hidden) - black - white >= least or min(black, white) >= least


def from_array(array: np.ndarray) -> Image.Image:
    """
    An array with one (grey), two (grey, alpha), three (RGB) or four (RGBA) channels as an image.

    Args:
        array (`np.ndarray` of shape `(height, width, num_channels)`): values as in [`scale_to_8_bits`].
    """
    values = scale_to_8_bits(array)
    return Image.fromarray(np.ascontiguousarray(values[..., 0] if values.shape[-1] == 1 else values))


def scale_to_8_bits(values: np.ndarray) -> np.ndarray:
    """
    Scales values of any type to 0 to 255, by the range that they lie in:

    - truth values, and floats from 0 to 1: 1 becomes 255;
    - 0 to 255 is 8 bits and stays; 0 to 4095 is 12 bits, 0 to 65535 is 16 bits, and the highest 8 bits are kept;
    - everything else: the smallest value becomes 0 and the largest 255.

    Values below 4096 that all repeat one byte twice (multiples of 257) are a dark 16-bit image, not a 12-bit one.

    Args:
        values (`np.ndarray`): truth values, integers or floats.

    Raises:
        ValueError: if there is NaN or infinity.
    """
    if values.dtype == np.uint8:
        return values
    if values.dtype == bool:
        return values * np.uint8(255)
    if not np.isfinite(values).all():
        raise ValueError("it holds NaN or infinity; every value must be finite")
    low, high = values.min(), values.max()
    if values.dtype.kind == "f" and low >= 0 and high <= 1:
        values = np.rint(values.astype(np.float64) * 255)
    elif low >= 0 and high <= 255:
        values = np.rint(values)
    elif low >= 0 and high <= 65535:
        values = values // (16 if high < 4096 and (values % 257).any() else 256)
    else:
        values = values.astype(np.float64) - float(low)
        values = np.rint(values * (255 / max(float(high) - float(low), 1.0)))
    return values.astype(np.uint8)


def _turn_upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # The image is decoded already, so it is its EXIF that is broken; Pillow raises whatever fits.
        return image.copy()


def _gray_of(image: Image.Image, is_inverted: bool) -> Image.Image:
    """An image of one channel with more than 8 bits, in L; in LA where one of its values is the transparent one."""
    values = np.asarray(image)
    gray = Image.fromarray(scale_to_8_bits(values))
    if is_inverted:
        gray = ImageOps.invert(gray)
    key = image.info.get("transparency")
    if isinstance(key, int) and (values == key).any():
        gray.putalpha(Image.fromarray((values != key) * np.uint8(255)))
        gray = lay_on_white(gray.convert("RGBA")).convert("L")
    return gray


def _to_srgb(image: Image.Image, info: dict[Any, Any]) -> Image.Image:
    """The colours of an image as a browser shows them, in RGB and whatever its alpha."""
    mode = "L" if image.mode in _GRAY else image.mode if image.mode in ("CMYK", "LAB") else "RGB"
    if mode == "RGB" and image.has_transparency_data:  # Straight to RGB, Pillow warns of some and mixes up others.
        image = image.convert("RGBA")
    # Pillow would copy what is in the mode already.
    image = image if image.mode == mode else image.convert(mode)
    transform = _find_transform(info.get("icc_profile"), mode)
    if mode == "LAB":
        return (transform or _find_transform(None, mode)).apply(image)
    plain = image if mode == "RGB" else image.convert("RGB")
    if transform is not None:
        shown = transform.apply(image)
        is_srgb = np.asarray(ImageChops.difference(plain, shown)).max() <= _ROUNDING
        return plain if is_srgb else shown
    gamma = info.get("gamma")
    if gamma and "srgb" not in info and abs(gamma * _PAGE_GAMMA - 1) > 0.02:
        levels = [round(255 * (level / 255) ** (1 / (gamma * _PAGE_GAMMA))) for level in range(256)]
        return plain.point(levels * 3)
    return plain


@functools.lru_cache(maxsize=16)
def _find_transform(profile: bytes | None, mode: str) -> Any:
    """From a profile to sRGB, for LAB also without one; `None` where it is broken or not of the image's colours."""
    if profile is None and mode != "LAB":
        return None
    try:
        source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB") if profile is None else io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _PROFILE_SPACES[mode]:
            return None
        return ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
    except Exception:  # Little CMS, Pillow without it, and Pillow's reading of a broken profile raise different types.
        return None
