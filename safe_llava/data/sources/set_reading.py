"""The rows of a public set as a dataset in our columns, with what is wrong with each. Its images stay encoded."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Image, List, Value, concatenate_datasets, load_dataset
from datasets.arrow_writer import ArrowWriter
from datasets.fingerprint import get_temporary_cache_files_directory

from ..columns import LABEL_FEATURES
from ..encoded_images import declare_images
from ..label_parsing import parse_labels
from ..llava_tables import MESSAGE_FEATURE
from .label_map import LabelMap, UnmappedError, read_label_map
from .public_set import PublicSet, SetRequest, SetRow
from .set_files import locate


_TEXT_FEATURES = Features(
    {"messages": MESSAGE_FEATURE, **LABEL_FEATURES, "head_only": Value("bool"), "place": Value("string")}
)
_file_numbers = itertools.count()


@dataclass(frozen=True)
class SetRows:
    """
    All rows of a split of a public set.

    Args:
        source (`str`): what was read, for messages.
        dataset ([`~datasets.Dataset`]): every row in our columns, with `head_only`, whether it has no answer, and
            `place`, where it stands.
        problems (`dict[int, list[str]]`): why rows cannot be read, by their numbers from 1.
        label_problems (`dict[int, list[str]]`): why the labels of rows cannot be told.
        left_out (`dict[int, str]`): the rule by which rows are not trained on.
    """

    source: str
    dataset: Dataset
    problems: dict[int, list[str]]
    label_problems: dict[int, list[str]]
    left_out: dict[int, str]


def read_public_set(
    public_set: PublicSet,
    root: str | Path | None = None,
    split: str = "train",
    image_folder: str | Path | None = None,
    label_map: str | Path | Mapping[str, Any] | None = None,
) -> SetRows:
    """
    Reads every row of a split; images are not decoded.

    Args:
        public_set ([`PublicSet`]): the set.
        root (`str` or `Path`, *optional*): a local copy or a dataset's Hub id; by default the set's own on the Hub.
        split (`str`, *optional*, defaults to `"train"`): one of its splits.
        image_folder (`str` or `Path`, *optional*): folder of the images, for sets that publish them apart.
        label_map (`str`, `Path` or `Mapping`, *optional*): in place of the set's own, see [`read_label_map`].

    Returns:
        [`SetRows`]

    Raises:
        ValueError: if an argument has no effect, or the files are not as published.
        OSError: if they are not there, or the Hub refuses them.
    """
    if image_folder is not None and not public_set.uses_image_folder:
        raise ValueError(f"`image_folder` has no effect: {public_set.name} is published with its images.")
    labels = read_label_map(public_set, label_map)
    folder = None if image_folder is None else Path(image_folder).expanduser().absolute()
    request = SetRequest(locate(public_set, root, split), split, folder)
    rows = _RowCollector(labels)
    if public_set.image_tables is None:
        features = Features({**_TEXT_FEATURES, "images": List(Image(decode=False))})
        dataset = declare_images(_write(rows.collect(public_set.read(request)), features))
    else:
        dataset = _write(rows.collect(public_set.read(request)), _TEXT_FEATURES)
        images = _read_images(public_set.image_tables(request), public_set.image_column, rows.image_rows)
        dataset = concatenate_datasets([dataset, images], axis=1)
    labels.require_used([*public_set.categories, *rows.categories])
    return SetRows(
        f"{public_set.name} ({request.root}, {split})", dataset, rows.problems, rows.label_problems, rows.left_out
    )


class _RowCollector:
    """Passes rows on as a dataset holds them, and keeps what is wrong with them."""

    def __init__(self, labels: LabelMap):
        self.labels = labels
        self.problems: dict[int, list[str]] = {}
        self.label_problems: dict[int, list[str]] = {}
        self.left_out: dict[int, str] = {}
        self.image_rows: list[int] = []
        self.categories: set[str] = set()

    def collect(self, rows: Iterable[SetRow]) -> Iterator[dict[str, Any]]:
        for number, row in enumerate(rows, start=1):
            self.image_rows.append(number - 1 if row.image_row is None else row.image_row)
            if row.category is not None:
                self.categories.add(row.category)
            if row.problems:
                self.problems[number] = row.problems
            if row.left_out is not None:
                self.left_out[number] = row.left_out
            yield {
                "messages": row.messages,
                **self._labels(number, row),
                "head_only": bool(row.messages) and row.messages[-1]["role"] == "user",
                "place": row.place,
                "images": [_encode(image) for image in row.images],
            }

    def _labels(self, number: int, row: SetRow) -> dict[str, Any]:
        problems = row.label_problems
        try:
            if not problems:
                labels, problems = parse_labels({} if row.problems else self.labels.labels_of(row))
        except UnmappedError as error:
            problems = [str(error)]
        if not problems:
            return labels
        self.label_problems[number] = [f"{row.place}: {problem}" for problem in problems]
        return parse_labels({})[0]


def _encode(image: Path | bytes) -> dict[str, Any]:
    is_file = isinstance(image, Path)
    return {"path": str(image) if is_file else None, "bytes": None if is_file else image}


def _write(rows: Iterable[dict[str, Any]], features: Features) -> Dataset:
    """Rows on the disk, where images out of archives fill no memory. The file is gone when the process ends."""
    path = Path(get_temporary_cache_files_directory()) / f"public-set-{next(_file_numbers)}.arrow"
    with ArrowWriter(features=features, path=str(path)) as writer:
        for row in rows:
            writer.write({name: row[name] for name in features})
        writer.finalize()
    return Dataset.from_file(str(path))


def _read_images(paths: list[Path], column: str, rows: list[int]) -> Dataset:
    """The images of tables, each row's as a list, in the order of `rows`; the tables' other columns are not read."""
    images = load_dataset("parquet", data_files=list(map(str, paths)), split="train", columns=[column])
    lists = images.cast_column(column, Image(decode=False)).map(
        lambda row: {"images": [] if row[column] is None else [row[column]]},
        remove_columns=column,
        features=Features({"images": List(Image(decode=False))}),
        desc="images",
    )
    return declare_images(lists if rows == list(range(len(lists))) else lists.select(rows))
