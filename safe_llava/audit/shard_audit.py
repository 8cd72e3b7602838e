"""Shards of a source, decoded ahead in threads while the guard assesses, into the verdict table."""

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .audit_row import AuditRow
from .audit_state import remove_partials
from .part_writer import PartSettings, PartWriter
from .row_assessment import PreparedRow, RowAssessor
from .sources import Source
from .verdict_table import PartName


BROKEN_SHARD = "broken shard"
"""Kind of the reason for rows that nobody can count, for the shard breaks off before them."""


@dataclass(frozen=True)
class _End:
    """The end of a shard, or the place where it breaks off."""

    error: Exception | None = None


@contextmanager
def pillow_is_silent() -> Iterator[None]:
    """Pillow warns without the name of the file, which is of no use here; what it cannot read becomes a reason."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        yield


@pillow_is_silent()
def audit_shards(
    assessor: RowAssessor,
    source: Source,
    shards: Iterable[int],
    begun: dict[int, int],
    folder: Path,
    settings: PartSettings,
    plan: str,
    workers: int,
    skip_broken_shards: bool,
    on_row: Callable[[PreparedRow], Any],
    processes: int = 1,
) -> list[str]:
    """
    Assesses shards one after the other.

    Args:
        assessor ([`RowAssessor`]): the guard.
        source ([`Source`]): where the rows come from.
        shards (`Iterable[int]`): the shards to assess.
        begun (`dict[int, int]`): the number of parts that are finished already, of shards that were begun.
        folder (`Path`): where the parts go.
        settings ([`PartSettings`]): how the work is cut.
        plan (`str`): the digest of the audit's plan.
        workers (`int`): threads that decode images.
        skip_broken_shards (`bool`): whether a shard that breaks off is finished there, with a row that says so.
        on_row (`Callable`): called with every row.
        processes (`int`, *optional*, defaults to 1): how many share the work; for the record of the cost.

    Returns:
        `list[str]`: what is wrong with the shards that could not be read to their end; they stay unfinished, to be
        tried again.
    """
    broken: list[str] = []
    with ThreadPoolExecutor(workers) as pool:
        for shard in shards:
            num_parts = begun.get(shard, 0)
            remove_partials(folder, PartName(shard, 0).file_name.removesuffix("0000000.parquet"))
            writer = PartWriter(assessor, folder, settings, shard, num_parts, processes, plan)
            rows = _read(source, shard, num_parts * settings.part_size, skip_broken_shards)
            for item in _prepare_ahead(rows, assessor, pool, 2 * settings.batch_size + workers):
                if isinstance(item, PreparedRow):
                    writer.add(item)
                    on_row(item)
                    continue
                if item.error is not None:
                    problem = f"shard {shard} breaks off behind row {writer.num_rows}: {_in_words(item.error)}"
                    if not skip_broken_shards:
                        broken.append(problem)
                        continue
                    writer.add(PreparedRow(AuditRow(f"broken-shard-{shard}"), reason=f"{BROKEN_SHARD}: {problem}"))
                writer.finish()
    return broken


def _read(source: Source, shard: int, start: int, skips_broken: bool) -> Iterator[AuditRow | _End]:
    number, size = start, source.shard_rows(shard)
    while True:
        try:
            for row in source.rows(shard, number):
                yield row
                number += 1
            yield _End()
            return
        except Exception as error:  # Whatever a file format or a network raises: the other shards go on.
            if not skips_broken or size is None:
                yield _End(error)
                return
            problem = f"row {number} of shard {shard} cannot be read: {_in_words(error)}"
            yield AuditRow(f"broken-row-{shard}-{number}", problem=f"broken row: {problem}")
            number += 1
            if number >= size:
                yield _End()
                return


def _in_words(error: Exception) -> str:
    return str(error) if isinstance(error, OSError) and str(error) else repr(error)


def _prepare_ahead(
    rows: Iterator[AuditRow | _End], assessor: RowAssessor, pool: ThreadPoolExecutor, ahead: int
) -> Iterator[PreparedRow | _End]:
    """Prepares rows in threads, `ahead` of them at once, and yields them in their order."""
    pending: deque[Future[PreparedRow] | _End] = deque()
    for row in rows:
        pending.append(row if isinstance(row, _End) else pool.submit(assessor.prepare, row))
        if len(pending) > ahead:
            yield _resolve(pending.popleft())
    while pending:
        yield _resolve(pending.popleft())


def _resolve(item: Future[PreparedRow] | _End) -> PreparedRow | _End:
    return item if isinstance(item, _End) else item.result()
