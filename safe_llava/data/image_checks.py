"""Whether images can be decoded to their last pixel."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..models.image_reading import UnreadableImageError, read_image
from .image_digests import ImageDigests


_ROWS_AT_ONCE = 256


def find_image_problems(
    rows: Iterable[list[Any]], num_rows: int, digests: ImageDigests | None = None
) -> list[list[str]]:
    """
    Decodes every image of every row, in parallel, and says what is wrong with those that fail.

    Args:
        rows (`Iterable[list]`):
            The images of each row: files (`Path`), encoded (`bytes`), or as a dataset has them (`dict`).
        num_rows (`int`): how many rows there are, for the progress bar.
        digests ([`ImageDigests`], *optional*): gets the digest of every image that can be decoded.

    Returns:
        `list[list[str]]`: the reasons against each row's images (missing, unreadable, cut off); empty where all
        decode.
    """
    problems: list[list[str]] = []
    remaining = iter(tqdm(rows, total=num_rows, desc="Checking images", disable=None))
    with ThreadPoolExecutor() as pool:
        while batch := list(islice(remaining, _ROWS_AT_ONCE)):
            problems += pool.map(partial(_problems, digests=digests), batch)
    return problems


def _problems(sources: list[Any], digests: ImageDigests | None) -> list[str]:
    return [problem for source in sources if (problem := _problem(source, digests))]


def _problem(source: Any, digests: ImageDigests | None) -> str | None:
    if digests is not None and source in digests:
        return None
    name = f"image {source}" if isinstance(source, Path) else "an embedded image"
    try:
        image = read_image(source).image
    except UnreadableImageError as error:
        return f"{name} is missing" if error.kind == "missing" else f"{name} cannot be decoded: {error.kind}"
    if digests is not None:
        digests.add(source, image)
    return None
