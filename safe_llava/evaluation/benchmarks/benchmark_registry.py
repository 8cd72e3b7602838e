"""Loads any of the benchmarks by its name."""

import logging
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from ...data.sources.published_tables import PublishedFileError
from .benchmark_row import BenchmarkRow
from .figstep import load_figstep
from .holisafe import load_holisafe
from .mm_safetybench import load_mm_safetybench
from .mossbench import load_mossbench
from .risk_folder import load_risk_folder
from .rtvlm import load_rtvlm
from .siuo import load_siuo
from .vlguard import load_vlguard
from .vlsbench import load_vlsbench
from .xstest import load_xstest


logger = logging.getLogger(__name__)

BENCHMARKS: dict[str, Callable[[Path, str | None], list[BenchmarkRow]]] = {
    "rtvlm": load_rtvlm,
    "mm_safetybench": load_mm_safetybench,
    "figstep": load_figstep,
    "vlguard": load_vlguard,
    "vlsbench": load_vlsbench,
    "siuo": load_siuo,
    "holisafe": load_holisafe,
    "xstest": load_xstest,
    "mossbench": load_mossbench,
    "risk_folder": load_risk_folder,
}


def load_benchmark(name: str, path: str | Path, split: str | None = None) -> list[BenchmarkRow]:
    """
    Loads a benchmark from where it was downloaded to. Nothing is downloaded or unpacked, and nothing left out but rows
    whose published question is empty, which [`read_benchmark`] counts and the log tells of.

    Args:
        name (`str`): one of [`BENCHMARKS`].
        path (`str` or `Path`): the folder as its authors lay it out; the file of the benchmark's name says how.
        split (`str`, *optional*): one of the benchmark's splits, such as `"tiny"` of FigStep. All rows, or the main
            part, where it is left out.

    Returns:
        `list[BenchmarkRow]`: the rows in the order of the files.

    Raises:
        PublishedFileError: if a file is missing or not as published (file, row and field are named), or if images
            are missing or are no images (all of them are named).
        FileNotFoundError: if there is nothing at `path`.
        ValueError: if there is no such benchmark or split.

    Example:

    ```python
    >>> rows = load_benchmark("xstest", "downloads/exaggerated-safety", split="safe")
    >>> len(rows), rows[0].subset, rows[0].is_harmful
    (250, 'homonyms', False)
    ```"""
    rows, left_out = read_benchmark(name, path, split)
    if left_out:
        logger.warning("%s: %d rows without a question are left out, the first: %s", path, len(left_out), left_out[0])
    return rows


def read_benchmark(name: str, path: str | Path, split: str | None = None) -> tuple[list[BenchmarkRow], list[str]]:
    """
    The rule of all benchmarks on rows that their authors published broken: one whose question is empty asks nothing,
    so it is left out and counted. Whatever else is wrong, a missing field or image among it, stops.

    Args:
        name, path, split: see [`load_benchmark`].

    Returns:
        `tuple[list[BenchmarkRow], list[str]]`: the rows in the order of the files, and the ids of those left out.

    Raises:
        PublishedFileError, FileNotFoundError, ValueError: see [`load_benchmark`].
    """
    if name not in BENCHMARKS:
        raise ValueError(f"There is no benchmark {name!r}; there are {', '.join(BENCHMARKS)}.")
    folder = Path(path).expanduser()
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist; give the folder that {name} was downloaded to.")
    rows = BENCHMARKS[name](folder, split)
    if repeated := [row_id for row_id, count in Counter(row.id for row in rows).items() if count > 1]:
        raise PublishedFileError(f"{folder}: rows must have ids of their own, but {', '.join(repeated)} recur.")
    asked = [row for row in rows if row.question]
    if not asked:
        raise PublishedFileError(f"{folder} has no row of the split {split!r} that asks something.")
    return asked, [row.id for row in rows if not row.question]
