"""Whether pictures can be decoded to their last pixel."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ..models.image_reading import UnreadableImageError, read_image


_ROWS_AT_ONCE = 256


def check_image_files(rows: Iterable[list[Any]], num_rows: int) -> Iterator[list[str]]:
    """Decode every picture of every row, in parallel, and say what is wrong with those that fail.

    Args:
        rows: The pictures of each row, as files (`Path`), as encoded bytes or as a dataset's row of bytes and path.
        num_rows: How many rows there are, for the progress bar.

    Yields:
        The reasons against one row's pictures (missing, unreadable, truncated); empty where all decode.
    """
    remaining = iter(tqdm(rows, total=num_rows, desc="Checking pictures", disable=None))
    with ThreadPoolExecutor() as pool:
        while batch := list(islice(remaining, _ROWS_AT_ONCE)):
            yield from pool.map(_reasons, batch)


def _reasons(sources: list[Any]) -> list[str]:
    return [reason for reason in map(_reason, sources) if reason]


def _reason(source: Any) -> str | None:
    if not isinstance(source, Path):
        return _decoding_error(source, "an embedded picture")
    if not source.is_file():
        return f"picture {source} is missing"
    return _decoding_error(source, f"picture {source}")


def _decoding_error(source: Any, name: str) -> str | None:
    try:
        read_image(source)
    except UnreadableImageError as error:
        return f"{name} cannot be decoded ({error})"
    return None
