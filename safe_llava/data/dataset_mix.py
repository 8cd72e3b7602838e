"""Several sets as one: without the rows that stand in a benchmark or stand there twice, each set with its share."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from datasets import Dataset

from .benchmark_leaks import TestRow, find_leaks
from .common_columns import join_datasets
from .dataset_report import DatasetReport
from .duplicate_rows import Duplicates, find_duplicates, read_contents
from .image_digests import ImageDigests
from .label_words import label_words
from .mix_report import Contradiction, MixReport, SetCounts
from .row_texts import questions_of


@dataclass(frozen=True)
class LoadedSet:
    """
    A set that was read.

    Args:
        name (`str`): its name, unlike that of any other.
        dataset ([`~datasets.Dataset`]): its sound rows.
        report ([`DatasetReport`], *optional*): what is wrong with the others; not for drawn scenes.
        share (`float`, *optional*): its fraction of all rows.
        max_samples (`int`, *optional*): only the first so many rows are taken.
    """

    name: str
    dataset: Dataset
    report: DatasetReport | None = None
    share: float | None = None
    max_samples: int | None = None


def mix_datasets(
    sets: Sequence[LoadedSet],
    *,
    duplicates: Literal["drop", "keep"] | None = None,
    benchmarks: Mapping[str, Iterable[TestRow]] | None = None,
    digests: ImageDigests | None = None,
    seed: int = 0,
) -> tuple[Dataset, MixReport]:
    """
    Joins sets. First go the rows that a benchmark has, by image or by question; then, of rows that show the same
    pixels and ask the same, all but the first, whatever they answer; then, where sets have shares, as few rows as
    these make necessary, at random.

    Args:
        sets (`Sequence[LoadedSet]`): the sets. Where labels contradict each other the earlier set is believed.
        duplicates (`str`, *optional*):
            `"drop"` leaves later copies of a row out, `"keep"` only counts them. By default nobody looks for them.
        benchmarks (`Mapping[str, Iterable]`, *optional*): what must not be trained on; see
            [`~safe_llava.data.benchmark_leaks.find_leaks`].
        digests ([`ImageDigests`], *optional*): those of images that were decoded before.
        seed (`int`, *optional*, defaults to 0): of what is left out for shares.

    Returns:
        `tuple[Dataset, MixReport]`: the rows, set after set, with the name of their set in the column `source`; of a
        single set with its own columns.

    Raises:
        ValueError: if the columns cannot be joined, or nothing is left of a set or of all.
    """
    counts = [_count_read(one) for one in sets]
    report = MixReport(counts, are_duplicates_kept=duplicates == "keep")
    report.faults = [one.report for one in sets if one.report is not None]
    for one, of_set in zip(sets, counts):
        of_set.beyond = max(0, len(one.dataset) - (one.max_samples or len(one.dataset)))
    sizes = [len(one.dataset) - of_set.beyond for one, of_set in zip(sets, counts)]
    taken = {one.name: one.dataset.take(size) for one, size in zip(sets, sizes)}
    joined = join_datasets(taken) if len(sets) > 1 else taken[sets[0].name]
    owner = np.repeat(np.arange(len(sets)), sizes)
    is_used = np.ones(len(joined), dtype=bool)
    if duplicates is not None or benchmarks:
        digests = ImageDigests(perceptual=bool(benchmarks)) if digests is None else digests
        if benchmarks and not digests.perceptual:
            raise ValueError("`benchmarks` needs `digests` with perceptual hashes: `ImageDigests(perceptual=True)`.")
        contents = read_contents(joined, digests)
        leaked, report.leaks = find_leaks(contents, benchmarks or {}, digests)
        _leave_out(np.array([*leaked], dtype=int), is_used, owner, counts, "leaks")
        if duplicates is not None:
            found = find_duplicates(joined, contents, np.flatnonzero(is_used).tolist())
            report.duplicates = _count_pairs(found, owner, sets)
            numbers = [_row_numbers(one)[:size] for one, size in zip(sets, sizes)]
            places = [(one.name, number) for one, of_set in zip(sets, numbers) for number in of_set]
            report.contradictions = [_describe(joined, places, found.first[row], row) for row in found.contradictions]
            if duplicates == "drop":
                _leave_out(np.array([*found.first], dtype=int), is_used, owner, counts, "duplicates")
    rows = _thin(np.flatnonzero(is_used), owner, sets, np.random.default_rng(seed))
    _leave_out(np.setdiff1d(np.flatnonzero(is_used), rows), is_used, owner, counts, "thinned")
    for place, of_set in enumerate(counts):
        of_set.used = int((owner[rows] == place).sum())
    if not len(rows):
        raise ValueError(f"No row is left to train on:\n{report}")
    return joined.select(rows) if len(rows) < len(joined) else joined, report


def _count_read(one: LoadedSet) -> SetCounts:
    if one.report is None:
        return SetCounts(one.name, len(one.dataset), one.share)
    read, bad = one.report.num_rows, len(one.report.bad_rows)
    return SetCounts(one.name, read, one.share, bad, by_rule=read - bad - len(one.dataset))


def _leave_out(
    rows: np.ndarray, is_used: np.ndarray, owner: np.ndarray, counts: Sequence[SetCounts], reason: str
) -> None:
    is_used[rows] = False
    for place, number in Counter(owner[rows].tolist()).items():
        setattr(counts[place], reason, number)


def _thin(
    rows: np.ndarray, owner: np.ndarray, sets: Sequence[LoadedSet], generator: np.random.Generator
) -> np.ndarray:
    """The largest mix in which every set has its share and no row stands twice."""
    if any(one.share is None for one in sets):
        return rows
    shares = np.array([one.share for one in sets], dtype=float)
    available = np.bincount(owner[rows], minlength=len(sets))
    size = (available / shares).min()
    wanted = np.minimum(np.round(shares * size).astype(int), available)
    if not wanted.all():
        empty = sets[int(np.flatnonzero(wanted == 0)[0])].name
        raise ValueError(
            f"`share`: no row of {empty} would be left in the largest mix of these shares, of {size:.1f} rows. Rows "
            f"that can be taken: {', '.join(f'{count:,} of {one.name}' for one, count in zip(sets, available))}."
        )
    chosen = [generator.permutation(rows[owner[rows] == place])[:number] for place, number in enumerate(wanted)]
    return np.sort(np.concatenate(chosen))


def _count_pairs(found: Duplicates, owner: np.ndarray, sets: Sequence[LoadedSet]) -> dict[tuple[str, str], int]:
    pairs = Counter((int(owner[first]), int(owner[row])) for row, first in found.first.items())
    return {(sets[first].name, sets[other].name): count for (first, other), count in sorted(pairs.items())}


def _row_numbers(one: LoadedSet) -> list[int]:
    """The numbers of the sound rows among all rows of a set, as its report counts them."""
    bad = set() if one.report is None else {row.number for row in one.report.bad_rows}
    return [number for number in range(1, len(one.dataset) + len(bad) + 1) if number not in bad]


def _describe(joined: Dataset, places: Sequence[tuple[str, int]], first: int, other: int) -> Contradiction:
    columns = joined.select_columns([name for name in joined.column_names if name != "images"])
    return Contradiction(
        sets=(places[first][0], places[other][0]),
        rows=(places[first][1], places[other][1]),
        labels=(", ".join(label_words(columns[first])), ", ".join(label_words(columns[other]))),
        question=" / ".join(questions_of(columns[first])),
    )
