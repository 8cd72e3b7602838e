"""What an audit leaves behind beside the verdict table: a summary, lists of keys to keep and to drop, a report."""

from bisect import bisect_right
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..data.thumbnails import make_thumbnail
from ..files import describe_versions, write_json
from ..models.image_reading import UnreadableImageError
from .audit_report import write_report
from .audit_row import AuditRow
from .audit_state import write_lines
from .plan import Plan
from .report_samples import find_flagged, find_passed
from .shard_audit import BROKEN_SHARD
from .sources import Source, pick_rows
from .table_check import check_table
from .verdict_table import ASSESSED, TEXT_ONLY, UNREADABLE, PartName, part_paths, read_parts


PACKAGES = ("transformers", "torch", "onnxruntime", "datasets", "pillow")
ROWS_NAMED = 5
"""Rows that the summary names of each kind of fault."""


def write_results(output_dir: Path, plan: Plan, source: Source) -> dict[str, Any]:
    """
    Writes `summary.json`, `keep.txt`, `drop.txt`, `text-only.txt` and `report.html` for a finished verdict table.

    `keep.txt` has the keys of the rows that were assessed and that the policy answers without a hint, `text-only.txt`
    those of the rows that have no field of images, which nobody assessed, `drop.txt` all others: those that the policy
    flags, those whose verdict is not to be trusted, and those that could not be read. A key that stands for several
    rows is dropped if one of them is, and kept only if all of them are.

    Args:
        output_dir (`Path`): the folder of the audit.
        plan ([`Plan`]): its plan.
        source ([`Source`]): its source, of which thumbnails are read.

    Returns:
        `dict`: the summary.

    Raises:
        AuditStateError: if the table is not the one that was planned ([`check_table`]).
    """
    folder = output_dir / "verdicts"
    table = check_table(output_dir, plan, source)
    is_kept, is_text = pa.array(find_passed(table)), pc.equal(table["status"], TEXT_ONLY)
    dropped = pc.unique(table.filter(pc.invert(pc.or_(is_kept, is_text)))["key"])
    text_only = _without(pc.unique(table.filter(is_text)["key"]), dropped)
    kept = _without(_without(table.filter(is_kept)["key"], dropped), text_only)
    for name, keys in {"keep": kept, "drop": dropped, "text-only": text_only}.items():
        write_lines(output_dir / f"{name}.txt", keys)
    summary = _summarize(plan, table, folder) | {"keep": len(kept), "drop": len(dropped)}
    write_json(output_dir / "summary.json", summary)
    write_report(
        output_dir / "report.html", table, summary, lambda keys: _read_thumbnails(folder, table, source, keys)
    )
    return summary


def _without(keys: pa.ChunkedArray | pa.Array, others: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    return keys.filter(pc.invert(pc.is_in(keys, others)))


def _summarize(plan: Plan, table: pa.Table, folder: Path) -> dict[str, Any]:
    assessed = table.filter(pc.equal(table["status"], ASSESSED))
    statuses = _counts(table["status"])
    flagged = table.filter(pa.array(find_flagged(table)))
    reasons = _counts(pc.list_element(pc.split_pattern(table["reason"].drop_null(), ":", max_splits=1), 0))
    return {
        "source": plan.spec.source,
        "model": plan.model,
        "model_version": plan.model_version,
        "policy_version": plan.policy_version,
        "rows": len(table),
        "assessed": statuses.get(ASSESSED, 0),
        "text_only": statuses.get(TEXT_ONLY, 0),
        "unreadable": statuses.get(UNREADABLE, 0),
        "untrusted": pc.sum(pc.invert(assessed["trusted"])).as_py() or 0,
        "flagged": len(flagged),
        "duplicate_keys": len(table) - pc.count_distinct(table["key"]).as_py(),
        "actions": _counts(assessed["action"]),
        "levels": _counts(assessed["level"]),
        "types": _counts(pc.list_flatten(flagged["types"])),
        "unreadable_reasons": reasons,
        "unreadable_first": _first_keys(table),
        "broken_shards": reasons.get(BROKEN_SHARD, 0),
        "not_images": plan.not_images,
        "cost": _cost([part["cost"] for parts in read_parts(folder, plan.digest).values() for part in parts]),
        "versions": describe_versions(*PACKAGES),
    }


def _first_keys(table: pa.Table) -> dict[str, list[str]]:
    """The keys of the first rows that could not be read, by the kind of reason."""
    first: dict[str, list[str]] = {}
    unread = table.filter(pc.is_valid(table["reason"]))
    for key, reason in zip(unread["key"].to_pylist(), unread["reason"].to_pylist()):
        keys = first.setdefault(reason.partition(":")[0], [])
        if len(keys) < ROWS_NAMED:
            keys.append(key)
    return first


def _counts(column: pa.ChunkedArray | pa.Array) -> dict[str, int]:
    counts = {item["values"]: item["counts"] for item in pc.value_counts(column).to_pylist()}
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _cost(parts: list[dict[str, float]]) -> dict[str, float]:
    """Seconds in which any process worked are counted once, and those in which none did are not."""
    seconds, end = 0.0, float("-inf")
    for part in sorted(parts, key=lambda part: part["started"]):
        seconds += max(0.0, part["finished"] - max(part["started"], end))
        end = max(end, part["finished"])
    decode, assess = (sum(part[name] for part in parts) for name in ("decode_seconds", "assess_seconds"))
    images = sum(part["images"] for part in parts)
    return {
        "images": images,
        "seconds": round(seconds, 3),
        "images_per_second": round(images / max(seconds, 1e-9), 2),
        "decode_seconds": round(decode, 3),
        "assess_seconds": round(assess, 3),
        "decode_share": round(decode / max(decode + assess, 1e-9), 4),
        "processes": max(part["processes"] for part in parts),
    }


def _read_thumbnails(folder: Path, table: pa.Table, source: Source, keys: list[str]) -> dict[str, bytes]:
    """Thumbnails of the rows with these keys, read from the source again; without those that cannot be read now."""
    starts = list(accumulate((pq.read_metadata(path).num_rows for path in part_paths(folder)), initial=0))
    names = [PartName.parse(path) for path in part_paths(folder)]
    first_of_shard = {name.shard: start for name, start in reversed(list(zip(names, starts)))}
    places: dict[int, list[int]] = {}
    for position in sorted(pc.index_in(pa.array(keys, pa.string()), table["key"]).drop_null().to_pylist()):
        shard = names[bisect_right(starts, position) - 1].shard
        places.setdefault(shard, []).append(position - first_of_shard[shard])
    rows: list[AuditRow] = []
    for shard, of_shard in places.items():
        with suppress(Exception):  # A source may be gone by now, and a report without images is one nevertheless.
            rows.extend(pick_rows(source, shard, of_shard))
    # Other processes are done, so all cores are free.
    with ThreadPoolExecutor() as pool:
        found = zip(rows, pool.map(_thumbnail, rows))
        return {row.key: thumbnail for row, thumbnail in found if thumbnail is not None}


def _thumbnail(row: AuditRow) -> bytes | None:
    with suppress(UnreadableImageError, IndexError):
        return make_thumbnail(row.images[0])
    return None
