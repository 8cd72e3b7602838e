"""What images look like in a few bytes, so that the same image is found again whatever file it stands in."""

import hashlib
import importlib.util
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from ..models.image_reading import read_image


_IMAGES_AT_ONCE = 256
_DIGEST_SIZE = 16


class ImageDigest(NamedTuple):
    """
    One image.

    Args:
        pixels (`bytes`): of its size and its RGB pixels, so that only an image of the same pixels has it too.
        perceptual (`str`, *optional*): the 64-bit pHash in hexadecimal digits, which a re-encoded copy nearly has.
    """

    pixels: bytes
    perceptual: str | None


class ImageDigests:
    """
    The digests of images by their files or bytes. Images are decoded one by one, each file once, and not kept.

    Args:
        perceptual (`bool`, *optional*, defaults to `False`):
            Whether to compute perceptual hashes, which needs the extra `audit` of the package.
    """

    def __init__(self, perceptual: bool = False):
        self.perceptual = perceptual
        self._known: dict[bytes | str, ImageDigest] = {}
        if perceptual and importlib.util.find_spec("imagehash") is None:
            raise ModuleNotFoundError(
                "Benchmarks are looked for by imagehash. Install it: pip install 'safe-llava[audit]'",
                name="imagehash",
            )

    def __contains__(self, source: Any) -> bool:
        return _key(source) in self._known

    def __getitem__(self, source: Any) -> ImageDigest:
        return self._known[_key(source)]

    def add(self, source: Any, image: Image.Image) -> None:
        """
        Keeps the digest of an image that was decoded anyway. Safe to call from several threads.

        Args:
            source (`Path`, `str`, `bytes` or `dict`): the file, the encoded image, or a row of an image column.
            image (`PIL.Image.Image`): what [`~safe_llava.models.image_reading.read_image`] gives for it.
        """
        self._known[_key(source)] = self._digest(image)

    def read(self, sources: Iterable[Any]) -> None:
        """
        Decodes, in parallel, the images that are not known yet.

        Args:
            sources (`Iterable`): as in [`add`].

        Raises:
            UnreadableImageError: if one cannot be decoded.
        """
        unknown = (source for source in sources if source not in self)
        with ThreadPoolExecutor() as pool:
            while batch := {_key(source): source for source in islice(unknown, _IMAGES_AT_ONCE)}:
                digests = pool.map(lambda source: self._digest(read_image(source).image), batch.values())
                self._known.update(zip(batch, digests))

    def _digest(self, image: Image.Image) -> ImageDigest:
        digest = hashlib.blake2b(repr(image.size).encode(), digest_size=_DIGEST_SIZE)
        digest.update(image.tobytes())
        if not self.perceptual:
            return ImageDigest(digest.digest(), None)
        from imagehash import phash

        return ImageDigest(digest.digest(), str(phash(image)))


def _key(source: Any) -> bytes | str:
    """A file by its path, which is not read again; anything else by its bytes."""
    if isinstance(source, dict):
        source = source["bytes"] or source["path"]
    if isinstance(source, Path | str):
        return str(Path(source))
    return hashlib.blake2b(source, digest_size=_DIGEST_SIZE).digest()
