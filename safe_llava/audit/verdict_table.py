"""The verdict table: a row for every sample, in parquet files that are there whole or not at all."""

import json
import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from ..files import atomic_path
from ..models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from .audit_state import state_error


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
Columns of the verdict table. `status` is "assessed", "text only" or "unreadable", and `reason` says why; `level` and
`type` are the head's, `action` and `types` what the policy does and for which types; `image_hash` is the 64-bit pHash
of the first image. What does not apply is null.
"""
ASSESSED, TEXT_ONLY, UNREADABLE = "assessed", "text only", "unreadable"
_FACTS = (b"file", b"plan", b"is_last", b"cost")
_PART_NAME = re.compile(r"shard-(\d{7,})-part-(\d{7,})\.parquet")


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
        match = _PART_NAME.fullmatch(path.name)
        if match is None:
            raise state_error(path, "is no part of this table")
        return cls(*map(int, match.groups()))


def write_part(
    folder: Path, name: PartName, rows: Sequence[dict[str, Any]], is_last: bool, cost: dict[str, float], plan: str
) -> None:
    """
    Writes a part of the table.

    Args:
        folder (`Path`): where the table lies.
        name (`PartName`): which part it is.
        rows (`Sequence[dict]`): its rows; columns that a row leaves out are null.
        is_last (`bool`): whether the shard ends here.
        cost (`dict[str, float]`): what it took, in seconds and images.
        plan (`str`): the digest of the audit's plan.
    """
    table = pa.Table.from_pylist(list(rows), SCHEMA)
    facts = {"file": name.file_name, "plan": plan, "is_last": is_last, "cost": cost}
    table = table.replace_schema_metadata({key: json.dumps(value) for key, value in facts.items()})
    with atomic_path(folder / name.file_name) as partial:
        pq.write_table(table, partial)


def part_paths(folder: Path) -> list[Path]:
    """The finished parts, in the order of the source."""
    return sorted((path for path in folder.glob("*") if not path.name.startswith(".")), key=PartName.parse)


def read_parts(folder: Path, plan: str) -> dict[int, list[dict[str, Any]]]:
    """
    What each part says of itself.

    Args:
        folder (`Path`): where the table lies.
        plan (`str`): the digest of the audit's plan.

    Returns:
        `dict[int, list[dict]]`: for each shard the `path`, `num_rows`, `is_last` and `cost` of its parts, in order.

    Raises:
        AuditStateError: if a file is no part, cannot be read, is a copy of another, was not written under this plan,
            or a part before it is gone.
    """
    parts: dict[int, list[dict[str, Any]]] = {}
    for path in part_paths(folder):
        name = PartName.parse(path)
        try:
            metadata = pq.read_metadata(path)
            facts = {key.decode(): json.loads(value) for key, value in metadata.metadata.items() if key in _FACTS}
            is_table = metadata.schema.to_arrow_schema().names == SCHEMA.names
        except (OSError, ValueError, AttributeError, pa.ArrowException) as error:
            raise state_error(path, f"is broken: {error}") from error
        if facts.keys() != {key.decode() for key in _FACTS} or not is_table:
            raise state_error(path, "is no part of this table")
        if facts["file"] != name.file_name:
            raise state_error(path, f"is a copy of {facts['file']}")
        if facts["plan"] != plan:
            raise state_error(path, "was not written under this plan.json, but under another")
        before = parts.setdefault(name.shard, [])
        if len(before) != name.part:
            raise state_error(path.with_name(PartName(name.shard, len(before)).file_name), "is gone")
        before.append(facts | {"path": path, "num_rows": metadata.num_rows})
    return parts


def read_progress(folder: Path, plan: str) -> tuple[set[int], dict[int, int]]:
    """The shards that are finished, and the number of parts of those that are begun, as [`read_parts`] finds them."""
    parts = read_parts(folder, plan)
    finished = {shard for shard, of_shard in parts.items() if of_shard[-1]["is_last"]}
    return finished, {shard: len(of_shard) for shard, of_shard in parts.items() if shard not in finished}


def read_verdicts(folder: str | PathLike, columns: Sequence[str] | None = None) -> pa.Table:
    """
    Reads the verdict table of an audit.

    Args:
        folder (`str` or `PathLike`): the folder of the audit, its folder `verdicts`, or one file of that.
        columns (`Sequence[str]`, *optional*): some of the columns. Defaults to all of them.

    Returns:
        `pa.Table`: a row for every sample, in the order of the source.

    Raises:
        FileNotFoundError: if there is no table.
    """
    path = Path(folder)
    path = path / "verdicts" if (path / "verdicts").is_dir() else path
    paths = [path] if path.is_file() else part_paths(path) if path.name == "verdicts" else []
    if not paths:
        raise FileNotFoundError(f"{folder} holds no verdict table; it is the folder that an audit wrote to")
    return pa.concat_tables([pq.read_table(path, columns=columns) for path in paths])
