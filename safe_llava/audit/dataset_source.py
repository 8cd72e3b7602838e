"""Datasets of the HuggingFace libraries as a source of an audit, loaded or streamed."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Image, IterableDataset, LargeList, List, Value

from ..data.encoded_images import holds_images, keep_images_encoded
from ..data.image_references import find_reference
from ..data.image_values import IMAGE_FIELDS
from ..data.row_conversation import conversation_fields
from ..models.image_formats import format_of_name
from .audit_row import AuditRow, printable_key, read_row


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
            Columns with images. Defaults to `image` and `images`, all columns of that type, and all of bytes that are
            images.
        text_column (`str`, *optional*):
            Column of the question, a text or a conversation. Defaults to the row's conversation or question, where
            there is one; else every image is asked a neutral question.
        key_column (`str`, *optional*): column of the key. Defaults to the row's number.
        image_folder (`Path`, *optional*): what the names of image files start from.

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
        image_folder: Path | None = None,
    ):
        features = dataset.features or Features()
        for column in (*image_columns, *filter(None, (text_column, key_column))):
            if column not in features:
                raise ValueError(f"{name} has no column {column!r}; it has {', '.join(features)}")
        dataset = keep_images_encoded(dataset)
        found = (*find_image_columns(features), *_find_encoded(dataset)) if not image_columns else ()
        self.image_columns = image_columns or tuple(dict.fromkeys(found))
        if not self.image_columns:
            raise ValueError(f"{name} has no column of images among {', '.join(features)}; name it: --image-column")
        self.text_column, self.key_column, self._image_folder = text_column, key_column, image_folder
        texts = (text_column,) if text_column else _conversation_columns(features, name)
        wanted = [*self.image_columns, *texts, *filter(None, (self.key_column,))]
        self.names_images: bool = any(_may_name_images(features[column]) for column in self.image_columns)
        """Whether images may be named by files."""
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
        return read_row(key, record, self.image_columns, self.text_column, self._image_folder)


def find_image_columns(features: Features) -> tuple[str, ...]:
    """
    The columns `image` and `images`, which the training reads too, and all that are typed as images; else those of
    bytes that are named like them, as img2dataset's `jpg` is.
    """
    ours = tuple(column for column in IMAGE_FIELDS if column in features)
    typed = tuple(column for column in features if column not in ours and holds_images(features[column]))
    named = (column for column in features if _holds_bytes(features[column]) and format_of_name(f"x.{column}"))
    return ours + typed or tuple(named)


def _conversation_columns(features: Features, name: str) -> tuple[str, ...]:
    try:
        return conversation_fields(features)
    except ValueError as error:
        raise ValueError(f"{name} has two columns for one thing: {error}, or name one: --text-column") from error


def _find_encoded(dataset: Dataset | IterableDataset) -> tuple[str, ...]:
    """Columns of bytes that begin as images."""
    columns = [column for column in dataset.features if _holds_bytes(dataset.features[column])]
    found = set()
    for record in islice(dataset.select_columns(columns), _ROWS_LOOKED_AT) if columns else ():
        found |= {column for column in columns if find_reference({column: record[column]})}
    return tuple(column for column in columns if column in found)


def _holds_bytes(feature: Any) -> bool:
    if isinstance(feature, List | LargeList):
        return _holds_bytes(feature.feature)
    return isinstance(feature, Value) and "binary" in feature.dtype


def _may_name_images(feature: Any) -> bool:
    if isinstance(feature, List | LargeList):
        return _may_name_images(feature.feature)
    return not isinstance(feature, Image) and not _holds_bytes(feature)
