"""The one door for images: whatever comes in, plain RGB comes out as a person would see it, or the reason why not."""

import base64
import contextlib
import http.client
import io
import os
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from .image_formats import (
    FORMATS_OF_OPENED,
    HEAD_SIZE,
    format_of_head,
    formats_for,
    is_camera_raw,
    is_image_file,
    is_regular,
    pillow_format_of_name,
    read_head,
    why_not_read,
)
from .image_modes import from_array, hides_content, lay_on_white, to_colors


MAX_PIXELS = 89_478_485
"""Largest image that is decoded, in pixels: where Pillow starts to warn of decompression bombs."""
DOWNLOAD_SECONDS = 30.0
"""How long a server may keep silent while an image is fetched."""

_NOT_AN_IMAGE = "not an image"
_NOT_READ = "format not read"


class UnreadableImageError(ValueError):
    """
    An image that cannot be decoded.

    Args:
        message (`str`): what is wrong, with the image's name.
        kind (`str`):
            "missing", "not a regular file", "not an image", "format not read", "too large", "cut off" or "broken".
    """

    def __init__(self, message: str, kind: str):
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class LoadedImage:
    """
    A decoded image.

    Args:
        image (`PIL.Image.Image`): the image in RGB, upright, on white where it was transparent.
        notes (`tuple[str, ...]`): what a reader of a verdict should know, such as that only one frame was looked at.
    """

    image: Image.Image
    notes: tuple[str, ...] = ()


def read_image(source: Any, max_pixels: int | None = None, timeout: float | None = DOWNLOAD_SECONDS) -> LoadedImage:
    """
    Decodes an image to its last pixel. The same image gives the same pixels whatever it comes as, and an image that
    was read already stays as it is.

    Args:
        source (`str`, `os.PathLike`, `bytes`, `dict`, `PIL.Image.Image`, `np.ndarray` or `torch.Tensor`):
            The path of a file; its bytes; a string with a path, a URL, a data URL or base64; a row of a dataset's
            image column (`{"bytes": ..., "path": ...}`); an image of Pillow in any mode, decoded or just opened; or
            an array of shape `(height, width)`, `(height, width, channels)` or `(channels, height, width)` with 1 to
            4 channels. Where first and last dimension could both be the channels, an array has them last and a tensor
            first. [`~safe_llava.models.image_modes.scale_to_8_bits`] says how values of other types than `uint8` are
            scaled: an array is an image, so values that are normalised for a model are scaled back to 0 to 255.
        max_pixels (`int`, *optional*, defaults to `MAX_PIXELS`): larger images are refused before they are decoded.
        timeout (`float`, *optional*, defaults to 30.0): seconds to wait for a server; `None` waits for ever.

    Returns:
        [`LoadedImage`], with a note for an animation (its first frame is taken), for transparent parts that hide
        something, and for a file whose name says another format than its contents.

    Raises:
        UnreadableImageError: if it is no image, cut off, larger than `max_pixels`, or holds NaN or infinity.
        TypeError: if `source` is none of these.
    """
    max_pixels = MAX_PIXELS if max_pixels is None else max_pixels
    if type(source) is Image.Image and source.mode == "RGB" and not source.info:
        _check_size(source.size, max_pixels, "the image")
        return LoadedImage(source)
    found, path = _find(source, timeout)
    name = "the image" if path is None else f"the image {path}"
    try:
        if isinstance(found, np.ndarray):
            found = _lay_out_channels(found, prefers_last=not _is_tensor(source))
            _check_size((found.shape[1], found.shape[0]), max_pixels, name)
            found = from_array(found)
        if isinstance(found, Image.Image):
            if found.format is not None and found.format not in FORMATS_OF_OPENED:
                raise UnreadableImageError(f"{name} is in the format {found.format}, which is not read", _NOT_READ)
            opened: contextlib.AbstractContextManager[Image.Image] = contextlib.nullcontext(found)
        else:
            if isinstance(found, Path) and not is_regular(found):
                raise UnreadableImageError(f"{name} is not a regular file", "not a regular file")
            file = io.BytesIO(found) if isinstance(found, bytes) else found
            opened = Image.open(file, formats=formats_for(path))
        with opened as image:
            if is_camera_raw(path) and image.format == "TIFF":
                raise UnreadableImageError(f"{name} is camera raw, which is not read", _NOT_READ)
            return _decode(image, path, name, max_pixels)
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        # Pillow's own message holds a memory address, which is another in every run.
        raise _unidentified(found, path, name) from error
    except Exception as error:  # Pillow's decoders raise whatever type fits their format.
        raise UnreadableImageError(f"{name} cannot be read: {error}", _kind(error)) from error


def _is_tensor(source: Any) -> bool:
    # Where nobody has imported torch nothing is a tensor, and images are read without it.
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.Tensor)


def read_images(images: Any, timeout: float | None = DOWNLOAD_SECONDS) -> Any:
    """
    Reads images in any nesting of lists, as processors take them.

    Args:
        images (`Any`): an image as in [`read_image`], an array of shape `(num_images, ...)`, a list of these or of
            lists of these, or `None`.
        timeout (`float`, *optional*, defaults to 30.0): as in [`read_image`].

    Returns:
        The same nesting, with RGB images.
    """
    if images is None:
        return None
    if isinstance(images, list | tuple) or getattr(images, "ndim", 0) == 4:
        return [read_images(image, timeout) for image in images]
    return read_image(images, timeout=timeout).image


def _find(source: Any, timeout: float | None) -> tuple[Image.Image | np.ndarray | bytes | Path, Path | None]:
    """What a source stands for, and its name."""
    if isinstance(source, dict) and {"bytes", "path"} & source.keys():
        encoded, path = source.get("bytes"), source.get("path")
        if encoded:
            return bytes(encoded), None if path is None else Path(path)
        if path is None:
            raise UnreadableImageError("the image has neither bytes nor a path", "missing")
        source = path
    if isinstance(source, str):
        return _find_in_text(source, timeout)
    if isinstance(source, os.PathLike):
        return Path(source), Path(source)
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source), None
    if isinstance(source, Image.Image):
        return source, None
    if _is_tensor(source):
        source = source.detach().cpu()
        return (source.float() if source.is_floating_point() else source).numpy(), None
    if hasattr(source, "__array__"):
        return np.asarray(source), None
    raise TypeError(
        "an image is a path, a URL, bytes, base64, a Pillow image, an array or tensor, or a dictionary with `bytes` "
        f"or `path`; got {type(source).__name__}"
    )


def _find_in_text(text: str, timeout: float | None) -> tuple[bytes | Path, Path | None]:
    if text.startswith(("http://", "https://", "data:")):
        try:
            with urllib.request.urlopen(text, timeout=timeout) as response:
                return response.read(), None
        except (OSError, ValueError, http.client.HTTPException) as error:
            kind = "broken" if text.startswith("data:") else "missing"
            raise UnreadableImageError(f"the image {text:.80} cannot be fetched: {error}", kind) from error
    if os.path.isfile(text):
        return Path(text), Path(text)
    with contextlib.suppress(ValueError):
        encoded = base64.b64decode("".join(text.split()), validate=True)
        if is_image_file(encoded):
            return encoded, None
    raise UnreadableImageError(f"{text!r:.80} is neither a file nor an image in base64", "missing")


def _lay_out_channels(array: np.ndarray, prefers_last: bool) -> np.ndarray:
    """An array of an image with its channels last."""
    if array.dtype.kind not in "biuf" or array.ndim not in (2, 3) or 0 in array.shape:
        raise UnreadableImageError(
            f"the image is an array of shape {array.shape} and type {array.dtype}; it should have numbers in the "
            "shape (height, width), (height, width, channels) or (channels, height, width)",
            _NOT_AN_IMAGE,
        )
    if array.ndim == 2:
        return array[..., None]
    is_first, is_last = array.shape[0] <= 4, array.shape[-1] <= 4
    if not is_first and not is_last:
        raise UnreadableImageError(
            f"the image is an array of shape {array.shape}; its first or last dimension should be 1 to 4 channels",
            _NOT_AN_IMAGE,
        )
    return array if is_last and (prefers_last or not is_first) else np.moveaxis(array, 0, -1)


def _decode(image: Image.Image, path: Path | None, name: str, max_pixels: int) -> LoadedImage:
    _check_size(image.size, max_pixels, name)
    if getattr(image, "default_image", False) and image.tell() == 0:
        # It stands in where animated PNGs are not shown as such. Pillow cannot go back to it.
        with contextlib.suppress(Exception):  # The caller has closed the file, or the animation is broken.
            image.seek(1)
    notes = _notes(image, path)
    image.load()
    _check_size(image.size, max_pixels, name)
    colors = to_colors(image)
    if hides_content(colors):
        notes.append("transparent parts hide other content")
    return LoadedImage(lay_on_white(colors), tuple(notes))


def _check_size(size: tuple[int, int], max_pixels: int, name: str) -> None:
    if size[0] * size[1] > max_pixels:
        raise UnreadableImageError(
            f"{name} has {size[0]} x {size[1]} pixels; at most {max_pixels} are decoded", "too large"
        )


def _notes(image: Image.Image, path: Path | None) -> list[str]:
    notes = []
    stand_ins = int(getattr(image, "default_image", False))
    if (frames := _count_frames(image) - stand_ins) > 1:
        place = max(image.tell() - stand_ins, 0)
        notes.append(f"frame {place + 1} of {frames}" if place else f"first of {frames} frames")
    if path is not None:
        named = pillow_format_of_name(path)
        if named is not None and named != image.format and {named, image.format} != {"JPEG", "MPO"}:
            notes.append(f"named {path.suffix} but {image.format}")
    return notes


def _count_frames(image: Image.Image) -> int:
    try:
        return getattr(image, "n_frames", 1)
    except Exception:  # The caller has closed the file, or its later frames are broken.
        return 1


def _unidentified(found: Any, path: Path | None, name: str) -> UnreadableImageError:
    head = found[:HEAD_SIZE] if isinstance(found, bytes) else read_head(found)
    if (unread := why_not_read(head, path)) is not None:
        return UnreadableImageError(f"{name} is in no image format that is read: it is {unread}", _NOT_READ)
    if (begun := format_of_head(head)) is not None:
        return UnreadableImageError(f"{name} begins as {begun} and cannot be opened as such", "broken")
    return UnreadableImageError(f"{name} is in no image format that is read", _NOT_AN_IMAGE)


def _kind(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "missing"
    if isinstance(error, Image.DecompressionBombError):
        return "too large"
    return "cut off" if "truncated" in str(error) else "broken"


__all__ = [
    "DOWNLOAD_SECONDS",
    "MAX_PIXELS",
    "LoadedImage",
    "UnreadableImageError",
    "read_image",
    "read_images",
]
