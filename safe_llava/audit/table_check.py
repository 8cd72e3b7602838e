"""Whether a finished verdict table is the one that its plan promised: every row once, all assessed alike."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .audit_state import state_error
from .manifest import read_keys
from .plan import Plan
from .sources import Source
from .verdict_table import SCHEMA, TEXT_ONLY, PartName, read_parts


def check_table(output_dir: Path, plan: Plan, source: Source) -> pa.Table:
    """
    Reads a finished table and holds it against the plan and the manifest.

    Args:
        output_dir (`Path`): the folder of the audit.
        plan ([`Plan`]): its plan.
        source ([`Source`]): its source.

    Returns:
        `pa.Table`: the table.

    Raises:
        AuditStateError: if a part is gone, doubled, foreign or broken, or its rows are not those that belong there.
        ValueError: if the source has no rows, or no row that names an image.
    """
    folder, manifest = output_dir / "verdicts", output_dir / "manifest.parquet"
    plan.require_unchanged(output_dir)
    parts = read_parts(folder, plan.digest)
    if foreign := sorted(set(parts) - set(range(plan.num_shards))):
        raise state_error(parts[foreign[0]][0]["path"], f"is of shard {foreign[0]}, and there are {plan.num_shards}")
    tables = []
    for shard in range(plan.num_shards):
        of_shard = parts.get(shard, [])
        if not of_shard or not of_shard[-1]["is_last"]:
            raise state_error(folder / PartName(shard, len(of_shard)).file_name, "is gone")
        keys = read_keys(manifest, shard) if manifest.exists() else None
        expected, start = source.shard_rows(shard), 0
        for part in of_shard:
            path, num_rows = part["path"], part["num_rows"]
            if part["is_last"] != (part is of_shard[-1]):
                raise state_error(path, "ends its shard, and yet there are parts behind it")
            try:
                table = pq.read_table(path, schema=SCHEMA)
            except (OSError, pa.ArrowException) as error:
                raise state_error(path, f"is broken: {error}") from error
            if not part["is_last"] and num_rows != plan.settings.part_size:
                raise state_error(path, f"has {num_rows} rows in place of {plan.settings.part_size}")
            if keys is not None and not table["key"].combine_chunks().equals(keys.slice(start, num_rows)):
                raise state_error(path, "has other rows than manifest.parquet")
            for column, version in (("model_version", plan.model_version), ("policy_version", plan.policy_version)):
                if pc.unique(table[column]).to_pylist() not in ([version], []):
                    raise state_error(path, f"has another {column} than plan.json")
            start += num_rows
            tables.append(table)
        if expected is not None and start != expected:
            raise state_error(of_shard[-1]["path"], f"ends shard {shard} at row {start} of {expected}")
    table = pa.concat_tables(tables)
    if not len(table):
        raise ValueError(f"{plan.spec.source} has no rows")
    if pc.all(pc.equal(table["status"], TEXT_ONLY)).as_py():
        raise ValueError(f"{plan.spec.source}: no row names an image, so there is nothing to assess")
    return table
