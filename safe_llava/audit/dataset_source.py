"""Datasets of the HuggingFace libraries: from the Hub or from data files, loaded or streamed."""

import copy
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import (
    Dataset,
    Features,
    Image,
    IterableDataset,
    LargeList,
    List,
    Value,
    load_dataset_builder,
    load_from_disk,
)

from ..data.turn_reading import find_conversation_field
from ..models.image_formats import format_of_name
from .audit_row import AuditRow, make_row, printable_key
from .image_references import EmptyImageError, find_reference, images_of
from .webdataset_source import WEBDATASET_SUFFIXES, expand_urls


_BUILDERS = {".parquet": "parquet", ".arrow": "arrow"}
_ROWS_AT_ONCE = 100
_ROWS_LOOKED_AT = 20
"""Rows that are looked at for images, where no column is typed as such."""


class DatasetSource:
    """
    The rows of a dataset. One that is loaded is cut into shards of `shard_size` rows; one that is streamed has a shard
    for each of its files.

    Args:
        dataset (`Dataset` or `IterableDataset`): the dataset.
        name (`str`): what keys begin with where no column gives them.
        shard_size (`int`): rows of a shard, where the dataset is loaded.
        image_columns (`tuple[str, ...]`, *optional*):
            Columns with images. Defaults to all columns of that type, or
            else to those of bytes that are images.
        text_column (`str`, *optional*):
            Column of the question, a text or a conversation. Defaults to "conversations" or "messages", where there is
            one; else every image is asked a neutral question.
        key_column (`str`, *optional*): column of the key. Defaults to the row's number.

    Raises:
        ValueError: if a column is missing, or none holds images.
    """

    def __init__(
        self,
        dataset: Dataset | IterableDataset,
        name: str,
        shard_size: int,
        image_columns: tuple[str, ...] = (),
        text_column: str | None = None,
        key_column: str | None = None,
    ):
        features = dataset.features or Features()
        for column in (*image_columns, *filter(None, (text_column, key_column))):
            if column not in features:
                raise ValueError(f"{name} has no column {column!r}; it has {', '.join(features)}")
        dataset = _keep_encoded(dataset)
        self.image_columns = image_columns or find_image_columns(features) or _find_encoded(dataset)
        if not self.image_columns:
            raise ValueError(f"{name} has no column of images among {', '.join(features)}; name it: --image-column")
        self.text_column = text_column or find_conversation_field(features)
        self.key_column = key_column
        wanted = [*self.image_columns, *filter(None, (self.text_column, self.key_column))]
        self._dataset, self._name, self._shard_size = (
            dataset.select_columns(list(dict.fromkeys(wanted))),
            name,
            shard_size,
        )
        self.num_rows: int | None = len(dataset) if isinstance(dataset, Dataset) else None
        self.num_shards: int = dataset.num_shards if self.num_rows is None else -(-self.num_rows // shard_size)
        if not self.num_shards:
            raise ValueError(f"{name} has no rows")

    def shard_rows(self, shard: int) -> int | None:
        """How many rows a shard has; `None` where the dataset is streamed."""
        if self.num_rows is None:
            return None
        return min(self._shard_size, self.num_rows - shard * self._shard_size)

    def rows(self, shard: int, start: int = 0) -> Iterator[AuditRow]:
        """The rows of a shard from row `start` on."""
        if isinstance(self._dataset, Dataset):
            first = shard * self._shard_size
            records = self._dataset.select(range(first + start, first + (self.shard_rows(shard) or 0)))
            keys = f"{self._name}/"
            offset = first + start
        else:
            records = self._dataset.shard(self.num_shards, shard).skip(start)
            keys = f"{self._name}/{shard}/"
            offset = start
        for number, record in enumerate(records, start=offset):
            yield self._row(f"{keys}{number}", record)

    def _row(self, key: str, record: dict[str, Any]) -> AuditRow:
        if self.key_column is not None and record[self.key_column] is not None:
            key = printable_key(str(record[self.key_column]))
        try:
            images = images_of(record, self.image_columns)
        except EmptyImageError as error:
            return AuditRow(key, problem=f"no image: {error}")
        return make_row(key, images, record[self.text_column] if self.text_column else None)


def load_source_dataset(
    source: str, split: str = "train", config_name: str | None = None, streaming: bool = False
) -> Dataset | IterableDataset | list[str]:
    """
    Loads a dataset.

    Args:
        source (`str`):
            A Hub id; a folder with data files or written by `save_to_disk`; or files: `.parquet`, `.arrow`, or
            `.tar` and `.tar.gz` in webdataset's form, with wildcards if there are several.
        split (`str`, *optional*, defaults to `"train"`): the split.
        config_name (`str`, *optional*): the configuration of a Hub dataset.
        streaming (`bool`, *optional*, defaults to `False`): read while assessing in place of downloading first.

    Returns:
        `Dataset`, `IterableDataset` where it is streamed, or, of webdataset's form, the names of the tar files.

    Raises:
        ValueError: if it cannot be loaded, the split is not there, or `save_to_disk`'s format is to be streamed.
    """
    folder = Path(source)
    saved = [name for name in ("state.json", "dataset_dict.json") if (folder / name).is_file()]
    if saved and streaming:
        raise ValueError(f"{source} was written by `save_to_disk` and is read where it lies: leave --streaming out")
    builder = data_file_builder(source)
    if source.endswith(WEBDATASET_SUFFIXES):
        return expand_urls(source)
    if builder is not None and not folder.is_dir():
        expand_urls(source)
    elif any(wildcard in source for wildcard in "*?["):
        raise ValueError(f"{source}: wildcards are for .parquet, .arrow and .tar files; of images name the folder")
    try:
        if saved:
            dataset = load_from_disk(source)
        else:
            # A folder that is called "parquet" is not the format of that name.
            path = builder or (str(folder.absolute()) if folder.is_dir() else source)
            options: dict[str, Any] = {"name": config_name} if builder is None else {"data_files": {split: source}}
            # By its own choice, the first row group's size, it cannot read a file without rows.
            options |= {"batch_size": _ROWS_AT_ONCE} if builder == "parquet" else {}
            loader = load_dataset_builder(path, **options)
            if type(loader).__name__ == "WebDataset":
                return _files_of_split(source, loader.config.data_files, split)
            if streaming:
                return loader.as_streaming_dataset(split)
            loader.download_and_prepare()
            dataset = loader.as_dataset(split)
    except FileNotFoundError:
        raise
    except Exception as error:  # Whatever a file format, the Hub or a network raises.
        cause = error.__cause__ or error
        where = "" if folder.exists() or builder is not None else " (and there is no such file or folder here)"
        raise ValueError(f"{source} cannot be loaded: {type(cause).__name__}: {cause}{where}") from error
    return _files_of_split(source, dataset, split) if isinstance(dataset, dict) else dataset


def data_file_builder(name: str) -> str | None:
    """The `datasets` builder for a file name, with or without wildcards; `None` if it is none of a data file."""
    return next((builder for suffix, builder in _BUILDERS.items() if name.endswith(suffix)), None)


def find_image_columns(features: Features) -> tuple[str, ...]:
    """Columns that are typed as images, and those of bytes that are named like them, as img2dataset's `jpg` is."""
    typed = tuple(column for column in features if _holds_images(features[column]))
    named = (column for column in features if _holds_bytes(features[column]) and format_of_name(f"x.{column}"))
    return typed or tuple(named)


def _find_encoded(dataset: Dataset | IterableDataset) -> tuple[str, ...]:
    """Columns of bytes that begin as images."""
    columns = [column for column in dataset.features if _holds_bytes(dataset.features[column])]
    found = set()
    for record in islice(dataset.select_columns(columns), _ROWS_LOOKED_AT) if columns else ():
        found |= {column for column in columns if find_reference({column: record[column]})}
    return tuple(column for column in columns if column in found)


def _files_of_split(source: str, splits: Mapping[str, Any], split: str) -> Any:
    if split not in splits:
        raise ValueError(f"{source} has no split {split!r}; it has {', '.join(map(str, splits))}")
    return splits[split]


def _keep_encoded(dataset: Dataset | IterableDataset) -> Dataset | IterableDataset:
    """The same rows, with images as dictionaries of `bytes` and `path`: nothing is copied or decoded."""
    if isinstance(dataset, IterableDataset):
        return dataset.decode(False)
    dataset = copy.deepcopy(dataset)
    dataset.info.features = Features({name: _encoded(feature) for name, feature in dataset.features.items()})
    return dataset


def _encoded(feature: Any) -> Any:
    if isinstance(feature, Image):
        return Image(decode=False)
    if isinstance(feature, List):
        return List(_encoded(feature.feature), length=feature.length)
    if isinstance(feature, LargeList):
        return LargeList(_encoded(feature.feature))
    return {name: _encoded(item) for name, item in feature.items()} if isinstance(feature, dict) else feature


def _holds_images(feature: Any) -> bool:
    if isinstance(feature, List | LargeList):
        return _holds_images(feature.feature)
    return isinstance(feature, Image) or (isinstance(feature, dict) and set(feature) == {"bytes", "path"})


def _holds_bytes(feature: Any) -> bool:
    if isinstance(feature, List | LargeList):
        return _holds_bytes(feature.feature)
    return isinstance(feature, Value) and "binary" in feature.dtype
