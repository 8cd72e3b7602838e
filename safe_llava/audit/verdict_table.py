"""The verdict table: a row for every sample, in parquet files that are there whole or not at all."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ..files import atomic_path
from ..models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES


LEVEL_COLUMNS = tuple(f"level_prob_{name}" for name in SAFETY_LEVELS)
TYPE_COLUMNS = tuple(f"type_prob_{name}" for name in SAFETY_TYPES)
SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("notes", pa.list_(pa.string())),
        ("text", pa.string()),
        ("num_images", pa.int32()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("image_hash", pa.string()),
        ("level", pa.string()),
        ("type", pa.string()),
        ("trusted", pa.bool_()),
        ("action", pa.string()),
        ("types", pa.list_(pa.string())),
        *((name, pa.float32()) for name in (*LEVEL_COLUMNS, *TYPE_COLUMNS)),
        ("model_version", pa.string()),
        ("policy_version", pa.string()),
    ]
)
"""
Columns of the verdict table. `status` is "assessed" or "unreadable", and `reason` says why; `level` and `type` are the
head's, `action` and `types` what the policy does and for which types; `image_hash` is the 64-bit pHash of the first
image. What does not apply is null.
"""


class PartName(NamedTuple):
    """
    A file of the table.

    Args:
        shard (`int`): number of the shard.
        part (`int`): number of the part in its shard.
    """

    shard: int
    part: int

    @property
    def file_name(self) -> str:
        return f"shard-{self.shard:07}-part-{self.part:07}.parquet"

    @classmethod
    def parse(cls, path: Path) -> "PartName":
        _, shard, _, part = path.stem.split("-")
        return cls(int(shard), int(part))


def write_part(
    folder: Path, name: PartName, rows: Sequence[dict[str, Any]], is_last: bool, cost: dict[str, float]
) -> None:
    """
    Writes a part of the table.

    Args:
        folder (`Path`): where the table lies.
        name (`PartName`): which part it is.
        rows (`Sequence[dict]`): its rows; columns that a row leaves out are null.
        is_last (`bool`): whether the shard ends here.
        cost (`dict[str, float]`): what it took, in seconds and images.
    """
    table = pa.Table.from_pylist(list(rows), SCHEMA)
    table = table.replace_schema_metadata({"is_last": json.dumps(is_last), "cost": json.dumps(cost)})
    with atomic_path(folder / name.file_name) as partial:
        pq.write_table(table, partial)


def part_paths(folder: Path) -> list[Path]:
    """The finished parts, in the order of the source."""
    return sorted(folder.glob("shard-*.parquet"))


def read_progress(folder: Path) -> tuple[set[int], dict[int, int]]:
    """The shards that are finished, and the number of parts of those that are begun."""
    finished: set[int] = set()
    begun: dict[int, int] = {}
    for path in part_paths(folder):
        name = PartName.parse(path)
        begun[name.shard] = begun.get(name.shard, 0) + 1
        if json.loads(pq.read_schema(path).metadata[b"is_last"]):
            finished.add(name.shard)
    return finished, {shard: parts for shard, parts in begun.items() if shard not in finished}


def read_costs(folder: Path) -> list[dict[str, float]]:
    """What each finished part took."""
    return [json.loads(pq.read_schema(path).metadata[b"cost"]) for path in part_paths(folder)]


def read_num_rows(folder: Path) -> list[int]:
    """The number of rows of each finished part."""
    return [pq.read_metadata(path).num_rows for path in part_paths(folder)]


def read_verdicts(folder: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """
    Reads the verdict table of an audit.

    Args:
        folder (`Path`): the folder `verdicts` in that of the audit.
        columns (`Sequence[str]`, *optional*): some of the columns. Defaults to all of them.

    Returns:
        `pa.Table`: a row for every sample, in the order of the source.
    """
    return pa.concat_tables([pq.read_table(path, columns=columns) for path in part_paths(folder)])
