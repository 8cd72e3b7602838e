"""
Folders and JSON files as a manifest: a parquet file that lists every row, in row groups that are the audit's shards.

It is written once, when the audit begins, so that every process and every later start sees the same rows in the same
order, whatever happens to the folder meanwhile.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..files import atomic_path
from .audit_row import AuditRow
from .audit_state import state_error


# Paths are bytes, for a file name need not be valid UTF-8.
_IMAGE = pa.struct([("path", pa.binary()), ("url", pa.string()), ("encoded", pa.large_binary())])
_SCHEMA = pa.schema(
    [("key", pa.string()), ("images", pa.list_(_IMAGE)), ("text", pa.string()), ("problem", pa.string())]
)


class ManifestSource:
    """
    The rows of a manifest.

    Args:
        path (`Path`): the parquet file that [`write_manifest`] wrote.
    """

    def __init__(self, path: Path):
        try:
            self._file = pq.ParquetFile(path)
        except (OSError, pa.ArrowException) as error:
            raise state_error(path, f"is broken: {error}") from error
        if not self._file.schema_arrow.equals(_SCHEMA):
            raise state_error(path, "is no manifest of this version")
        self.num_shards: int = self._file.num_row_groups
        self.num_rows: int | None = self._file.metadata.num_rows

    def shard_rows(self, shard: int) -> int:
        """How many rows a shard has."""
        return self._file.metadata.row_group(shard).num_rows

    def rows(self, shard: int, start: int = 0) -> Iterator[AuditRow]:
        """The rows of a shard from row `start` on."""
        for row in self._file.read_row_group(shard).slice(start).to_pylist():
            yield AuditRow(row["key"], tuple(map(_read_image, row["images"])), row["text"], row["problem"])


def read_keys(path: Path, shard: int) -> pa.Array:
    """The keys of a shard, in their order."""
    return pq.ParquetFile(path).read_row_group(shard, columns=["key"])["key"].combine_chunks()


def write_manifest(rows: Iterable[AuditRow], path: Path, shard_size: int) -> None:
    """
    Writes the manifest of a source, whole or not at all.

    Args:
        rows (`Iterable[AuditRow]`): all rows; their images are files, URLs, or encoded.
        path (`Path`): where it goes.
        shard_size (`int`): rows of a shard.
    """
    with atomic_path(path) as partial, pq.ParquetWriter(partial, _SCHEMA) as writer:
        waiting: list[dict] = []
        for row in rows:
            images = list(map(_as_struct, row.images))
            waiting.append({"key": row.key, "images": images, "text": row.text, "problem": row.problem})
            if len(waiting) == shard_size:
                writer.write_table(pa.Table.from_pylist(waiting, _SCHEMA))
                waiting = []
        if waiting:
            writer.write_table(pa.Table.from_pylist(waiting, _SCHEMA))


def _as_struct(image: Any) -> dict[str, Any]:
    if isinstance(image, Path):
        return {"path": os.fsencode(image)}
    if isinstance(image, str):
        return {"url": image}
    return {"encoded": image} if isinstance(image, bytes) else {"encoded": image["bytes"], "url": image["path"]}


def _read_image(image: dict[str, Any]) -> Any:
    if image["path"] is not None:
        return Path(os.fsdecode(image["path"]))
    return image["url"] if image["encoded"] is None else {"bytes": image["encoded"], "path": image["url"]}
