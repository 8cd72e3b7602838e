"""What an audit leaves behind beside the verdict table: a summary, lists of keys to keep and to drop, a report."""

import io
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from ..files import atomic_path, describe_versions, write_json
from ..models.image_reading import UnreadableImageError, read_image
from .audit_report import write_report
from .plan import Plan
from .report_samples import find_flagged, find_passed
from .sources import Source
from .verdict_table import PartName, part_paths, read_costs, read_num_rows, read_verdicts


PACKAGES = ("transformers", "torch", "datasets", "pillow")
THUMBNAIL_SIZE = 256
"""Longest side of a thumbnail in the report, in pixels."""


def write_results(output_dir: Path, plan: Plan, source: Source) -> dict[str, Any]:
    """
    Writes `summary.json`, `keep.txt`, `drop.txt` and `report.html` for a finished verdict table.

    `keep.txt` has the keys of the rows that the policy answers without a hint, `drop.txt` all others: those that it
    flags, those whose verdict is not to be trusted, and those that could not be read. A key that stands for several
    rows is kept only if all of them are.

    Args:
        output_dir (`Path`): the folder of the audit.
        plan ([`Plan`]): its plan.
        source ([`Source`]): its source, of which thumbnails are read.

    Returns:
        `dict`: the summary.
    """
    folder = output_dir / "verdicts"
    table = read_verdicts(folder)
    is_kept = pa.array(find_passed(table))
    dropped = pc.unique(table.filter(pc.invert(is_kept))["key"])
    kept = table.filter(is_kept)["key"]
    kept = kept.filter(pc.invert(pc.is_in(kept, dropped)))
    _write_lines(output_dir / "keep.txt", kept)
    _write_lines(output_dir / "drop.txt", dropped)
    summary = _summarize(plan, table, folder) | {"keep": len(kept), "drop": len(dropped)}
    write_json(output_dir / "summary.json", summary)
    write_report(
        output_dir / "report.html", table, summary, lambda keys: _read_thumbnails(folder, table, source, keys)
    )
    return summary


def _summarize(plan: Plan, table: pa.Table, folder: Path) -> dict[str, Any]:
    assessed = table.filter(pc.equal(table["status"], "assessed"))
    flagged = table.filter(pa.array(find_flagged(table)))
    reasons = pc.list_element(pc.split_pattern(table["reason"].drop_null(), ":", max_splits=1), 0)
    return {
        "source": plan.spec.source,
        "model": plan.model,
        "model_version": plan.model_version,
        "policy_version": plan.policy_version,
        "rows": len(table),
        "assessed": len(assessed),
        "unreadable": len(table) - len(assessed),
        "untrusted": pc.sum(pc.invert(assessed["trusted"])).as_py() or 0,
        "flagged": len(flagged),
        "duplicate_keys": len(table) - pc.count_distinct(table["key"]).as_py(),
        "actions": _counts(assessed["action"]),
        "levels": _counts(assessed["level"]),
        "types": _counts(pc.list_flatten(flagged["types"])),
        "unreadable_reasons": _counts(reasons),
        "files_passed_over": plan.files_passed_over,
        "cost": _cost(read_costs(folder)),
        "versions": describe_versions(*PACKAGES),
    }


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


def _write_lines(path: Path, keys: pa.ChunkedArray | pa.Array) -> None:
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8") as file:
        for key in keys:
            file.write(f"{key}\n")


def _read_thumbnails(folder: Path, table: pa.Table, source: Source, keys: list[str]) -> dict[str, bytes]:
    """Thumbnails of the rows with these keys, read from the source again; without those that cannot be read now."""
    places = [(PartName.parse(path), rows) for path, rows in zip(part_paths(folder), read_num_rows(folder))]
    wanted = pc.index_in(pa.array(keys, pa.string()), table["key"]).drop_null().to_pylist()
    thumbnails = {}
    for position in wanted:
        shard, start = _locate(places, position)
        row = next(source.rows(shard, start))
        try:
            thumbnails[row.key] = _thumbnail(row.images[0])
        except (UnreadableImageError, IndexError):
            continue
    return thumbnails


def _locate(places: list[tuple[PartName, int]], position: int) -> tuple[int, int]:
    """The shard of a row of the table, and the row's place in it."""
    start: Counter[int] = Counter()
    for name, num_rows in places:
        if position < num_rows:
            return name.shard, start[name.shard] + position
        position -= num_rows
        start[name.shard] += num_rows
    raise IndexError(position)


def _thumbnail(source: Path | bytes) -> bytes:
    image = read_image(source).image
    image.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE))
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=80)
    return file.getvalue()
