"""Datasets of the HuggingFace libraries: from the Hub or from data files, loaded or streamed."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Image, IterableDataset, List, load_dataset, load_from_disk

from .audit_row import AuditRow, printable_key, question_of


_TEXT_COLUMNS = ("conversations", "messages")
_BUILDERS = {
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".tar": "webdataset",
    ".tar.gz": "webdataset",
    ".tgz": "webdataset",
}


class DatasetSource:
    """
    The rows of a dataset. One that is loaded is cut into shards of `shard_size` rows; one that is streamed has a shard
    for each of its files.

    Args:
        dataset (`Dataset` or `IterableDataset`): the dataset.
        name (`str`): what keys begin with where no column gives them.
        shard_size (`int`): rows of a shard, where the dataset is loaded.
        image_columns (`tuple[str, ...]`, *optional*): columns with images. Defaults to all columns of that type.
        text_column (`str`, *optional*):
            Column of the question, a text or a conversation. Defaults to "conversations" or "messages", where there is
            one; else every image is asked a neutral question.
        key_column (`str`, *optional*): column of the key. Defaults to webdataset's `__key__`, or the row's number.

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
        self.image_columns = image_columns or tuple(column for column in features if _holds_images(features[column]))
        if not self.image_columns:
            raise ValueError(f"{name} has no column of images among {', '.join(features)}; name it: --image-column")
        self.text_column = text_column or next((column for column in _TEXT_COLUMNS if column in features), None)
        self.key_column = key_column or ("__key__" if "__key__" in features else None)
        for column in self.image_columns:
            encoded = Image(decode=False)
            feature = List(encoded) if isinstance(features[column], List) else encoded
            dataset = dataset.cast_column(column, feature)
        wanted = [*self.image_columns, *filter(None, (self.text_column, self.key_column))]
        self._dataset, self._name, self._shard_size = (
            dataset.select_columns(list(dict.fromkeys(wanted))),
            name,
            shard_size,
        )
        self.num_rows: int | None = len(dataset) if isinstance(dataset, Dataset) else None
        self.num_shards: int = dataset.num_shards if self.num_rows is None else -(-self.num_rows // shard_size)

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
        values = [record[column] for column in self.image_columns]
        images = [image for value in values for image in (value if isinstance(value, list) else [value])]
        try:
            text = question_of(record[self.text_column]) if self.text_column else None
        except ValueError as error:
            return AuditRow(key, problem=f"not a row: column {self.text_column!r}: {error}")
        found = (image["bytes"] or Path(image["path"]) for image in images if image is not None)
        return AuditRow(key, tuple(found), text)


def load_source_dataset(
    source: str, split: str = "train", config_name: str | None = None, streaming: bool = False
) -> Dataset | IterableDataset:
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
        `Dataset`, or `IterableDataset` where it is streamed.

    Raises:
        ValueError: if `save_to_disk`'s format is to be streamed, or the split is not there.
    """
    folder = Path(source)
    saved = [name for name in ("state.json", "dataset_dict.json") if (folder / name).is_file()]
    if saved and streaming:
        raise ValueError(f"{source} was written by `save_to_disk` and is read where it lies: leave --streaming out")
    if saved:
        dataset = load_from_disk(source)
        if isinstance(dataset, Dataset):
            return dataset
        if split not in dataset:
            raise ValueError(f"{source} has no split {split!r}; it has {', '.join(dataset)}")
        return dataset[split]
    if (builder := data_file_builder(source)) is not None:
        return load_dataset(builder, data_files={split: source}, split=split, streaming=streaming)
    return load_dataset(source, config_name, split=split, streaming=streaming)


def data_file_builder(name: str) -> str | None:
    """The `datasets` builder for a file name, with or without wildcards; `None` if it is none of a data file."""
    return next((builder for suffix, builder in _BUILDERS.items() if name.endswith(suffix)), None)


def _holds_images(feature: Any) -> bool:
    if isinstance(feature, List):
        return _holds_images(feature.feature)
    return isinstance(feature, Image) or (isinstance(feature, dict) and set(feature) == {"bytes", "path"})
