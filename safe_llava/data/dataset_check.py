"""What would be trained on: every row looked at, and counted by what is known of it."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from datasets import Dataset

from ..models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from .benchmark_leaks import TestRow
from .dataset_mix import LoadedSet, mix_datasets
from .dataset_report import DatasetReport, InvalidDatasetError
from .encoded_images import keep_images_encoded
from .image_digests import ImageDigests
from .label_parsing import SET_COLUMNS
from .label_words import UNKNOWN, label_words
from .mix_entries import DatasetEntry, load_entry
from .mix_report import MixReport, SetCounts, count_rows
from .row_texts import answer_of


_NAMES = {
    label: [name.replace("_", " ") for name in names]
    for label, names in zip(SET_COLUMNS, (SAFETY_LEVELS, SAFETY_TYPES))
}


@dataclass(frozen=True)
class DatasetCheck:
    """
    The rows that would be trained on, and those that would not.

    Args:
        report ([`MixReport`]): where the rows of each set go.
        dataset ([`~datasets.Dataset`], *optional*): the rows that would be trained on; `None` where there are none.
        labels (`dict[tuple[str, str], int]`):
            How many of them have each level and type, such as `("high", "privacy")`, `("low or medium", "safe")` or
            `("unknown", "unknown")`.
        text_only (`int`): how many have no image.
        several_images (`int`): how many have more than one.
        without_answer (`int`): how many have nothing that the language model could learn.
    """

    report: MixReport
    dataset: Dataset | None = field(repr=False)
    labels: dict[tuple[str, str], int]
    text_only: int
    several_images: int
    without_answer: int

    @property
    def num_rows(self) -> int:
        return 0 if self.dataset is None else len(self.dataset)

    @property
    def problems(self) -> list[str]:
        """Why not all rows can be trained on; empty where they can. Rows of benchmarks and copies are no problem."""
        bad = sum(of_set.bad for of_set in self.report.sets)
        problems = []
        if bad:
            problems.append(
                f"Broken: {count_rows(bad)}. Mend them, or leave them out with `on_bad_rows: skip` in a recipe."
            )
        if self.report.contradictions:
            problems.append(
                f"Contradicting the labels of a row that shows and asks the same: "
                f"{count_rows(len(self.report.contradictions))}. Mend one of each two."
            )
        return problems

    def count(self, label: str) -> dict[str, int]:
        """
        Rows by one of the labels.

        Args:
            label (`str`): "safety_level" or "safety_type".

        Returns:
            `dict[str, int]`: each class, also one without a row; then sets of classes; then the unknown.
        """
        place = [*SET_COLUMNS].index(label)
        counts = dict.fromkeys(_NAMES[label], 0)
        for words, number in sorted(self.labels.items(), key=lambda pair: pair[0][place] == UNKNOWN):
            counts[words[place]] = counts.get(words[place], 0) + number
        return counts

    def count_known(self, label: str) -> dict[str, int]:
        """Of how many rows a label is `known`, `partly_known` (one of several classes) or `unknown`."""
        known = dict.fromkeys(("known", "partly_known", "unknown"), 0)
        for name, number in self.count(label).items():
            known["unknown" if name == UNKNOWN else "known" if name in _NAMES[label] else "partly_known"] += number
        return known

    def to_dict(self) -> dict[str, Any]:
        """All figures as JSON has them."""
        return {
            "rows": self.num_rows,
            "labels": [{"level": level, "type": kind, "rows": n} for (level, kind), n in self.labels.items()],
            **{label: {**self.count_known(label), "classes": self.count(label)} for label in SET_COLUMNS},
            "text_only": self.text_only,
            "several_images": self.several_images,
            "without_answer": self.without_answer,
            **self.report.to_dict(),
            "faults": [str(report) for report in self.report.faults if report.bad_rows],
            "problems": self.problems,
        }

    def __str__(self) -> str:
        lines = [f"{count_rows(self.num_rows)} to train on", str(self.report)]
        for label in SET_COLUMNS:
            known = self.count_known(label)
            named = ", ".join(f"{number:,} {name}" for name, number in self.count(label).items() if number)
            lines.append(
                f"{label}: {known['known']:,} known, {known['partly_known']:,} partly known, "
                f"{known['unknown']:,} unknown ({named or 'no rows'})"
            )
        lines.append(
            f"text alone: {self.text_only:,}; several images: {self.several_images:,}; without an answer: "
            f"{self.without_answer:,}"
        )
        lines += [str(report) for report in self.report.faults if report.bad_rows]
        return "\n".join(lines)


def check_dataset(
    source: str | Path,
    root: str | Path | None = None,
    *,
    image_folder: str | Path | None = None,
    split: str | None = None,
    config_name: str | None = None,
    unlabelled: Literal["clean", "ignore"] | None = None,
    label_map: str | Path | None = None,
    benchmarks: Mapping[str, Iterable[TestRow]] | None = None,
) -> DatasetCheck:
    """
    Looks at every row of a set as [`~safe_llava.data.load_safety_dataset`] reads it, decodes every image once, and
    says what would be trained on.

    Args:
        source (`str` or `Path`): as for [`~safe_llava.data.load_safety_dataset`], like the next six.
        root (`str` or `Path`, *optional*): where a set lies that is known by its name.
        image_folder (`str` or `Path`, *optional*): folder of the images.
        split (`str`, *optional*): by default "train".
        config_name (`str`, *optional*): a configuration.
        unlabelled (`str`, *optional*): what rows without labels are.
        label_map (`str` or `Path`, *optional*): a YAML file with the meaning of the set's own categories.
        benchmarks (`Mapping[str, Iterable]`, *optional*):
            For each benchmark, by name, the images (files or bytes) and the question of its rows: rows that it has
            would be left out.

    Returns:
        [`DatasetCheck`]

    Raises:
        ValueError: if the source cannot be read as a set, or an option has no effect on it.

    Example:

    ```python
    >>> check = check_dataset("train.json", image_folder="images")
    >>> print(check)
    >>> check.problems
    []
    ```
    """
    entry = DatasetEntry(
        str(source),
        root=_as_text(root),
        image_folder=_as_text(image_folder),
        split=split,
        config_name=config_name,
        unlabelled=unlabelled,
        label_map=_as_text(label_map),
    )
    digests = ImageDigests(perceptual=bool(benchmarks))

    def load() -> LoadedSet:
        return LoadedSet(entry.name, *load_entry(entry, "skip", digests=digests))

    def mix(sets: list[LoadedSet]) -> tuple[Dataset, MixReport]:
        return mix_datasets(sets, duplicates="keep", benchmarks=benchmarks, digests=digests)

    return check_sets({entry.name: load}, mix)


def check_sets(
    loaders: Mapping[str, Callable[[], LoadedSet]], mix: Callable[[list[LoadedSet]], tuple[Dataset, MixReport]]
) -> DatasetCheck:
    """
    Looks at several sets, also where nothing of one can be trained on.

    Args:
        loaders (`Mapping[str, Callable]`): what loads each set, by its name.
        mix (`Callable`): joins the sets of which some row is sound.
    """
    sets, broken = [], dict[str, DatasetReport]()
    with _quiet():
        for name, load in loaders.items():
            try:
                sets.append(load())
            except InvalidDatasetError as error:
                broken[name] = error.report
    dataset, report = mix(sets) if sets else (None, MixReport([]))
    report.sets += [SetCounts(name, one.num_rows, bad=len(one.bad_rows)) for name, one in broken.items()]
    report.faults += broken.values()
    return _describe(dataset, report)


@contextmanager
def _quiet() -> Iterator[None]:
    """What loaders warn of stands in the check."""
    logger = logging.getLogger(__package__)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _as_text(path: str | Path | None) -> str | None:
    return None if path is None else str(path)


def _describe(dataset: Dataset | None, report: MixReport) -> DatasetCheck:
    labels: Counter[tuple[str, str]] = Counter()
    text_only = several_images = without_answer = 0
    for row in () if dataset is None else keep_images_encoded(dataset):
        labels[label_words(row)] += 1
        num_images = len(row["images"] or [])
        text_only += not num_images
        several_images += num_images > 1
        without_answer += not answer_of(row)
    ordered = dict(sorted(labels.items(), key=lambda pair: -pair[1]))
    return DatasetCheck(report, dataset, ordered, text_only, several_images, without_answer)
