"""Whether images can be decoded to their last pixel."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

from tqdm.auto import tqdm

from ..models.image_reading import UnreadableImageError, read_image


_ROWS_AT_ONCE = 256


def find_image_problems(rows: Iterable[list[Path | bytes]], num_rows: int) -> Iterator[list[str]]:
    """
    Decodes every image of every row, in parallel, and says what is wrong with those that fail.

    Args:
        rows (`Iterable[list[Path | bytes]]`): the images of each row, as files or encoded.
        num_rows (`int`): how many rows there are, for the progress bar.

    Returns:
        `Iterator[list[str]]`: the reasons against each row's images (missing, unreadable, cut off); empty where all
        decode.
    """
    remaining = iter(tqdm(rows, total=num_rows, desc="Checking images", disable=None))
    with ThreadPoolExecutor() as pool:
        while batch := list(islice(remaining, _ROWS_AT_ONCE)):
            yield from pool.map(_problems, batch)


def _problems(sources: list[Path | bytes]) -> list[str]:
    return [problem for problem in map(_problem, sources) if problem]


def _problem(source: Path | bytes) -> str | None:
    name = "an embedded image" if isinstance(source, bytes) else f"image {source}"
    try:
        read_image(source)
    except UnreadableImageError as error:
        return f"{name} is missing" if error.kind == "missing" else f"{name} cannot be decoded: {error.kind}"
    return None
