"""One shard of the source becoming parts of the verdict table."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .row_assessment import PreparedRow, RowAssessor
from .verdict_table import ASSESSED, PartName, write_part


@dataclass(frozen=True)
class PartSettings:
    """
    How the work is cut, always by counting rows: so the table depends neither on how many processes share the shards,
    nor on where one was killed.

    Args:
        part_size (`int`): rows of a part: what a killed process loses at most.
        batch_size (`int`): rows that are assessed together.
    """

    part_size: int
    batch_size: int


class PartWriter:
    """
    Assesses the rows of a shard as they come, and writes a part as soon as it is full.

    Args:
        assessor ([`RowAssessor`]): the guard.
        folder (`Path`): where the parts go.
        settings ([`PartSettings`]): how the work is cut.
        shard (`int`): the shard.
        num_parts (`int`): how many of its parts are there already.
        processes (`int`): how many share the work; for the record of the cost.
        plan (`str`): the digest of the audit's plan.
    """

    def __init__(
        self,
        assessor: RowAssessor,
        folder: Path,
        settings: PartSettings,
        shard: int,
        num_parts: int,
        processes: int,
        plan: str,
    ):
        self._assessor, self._folder, self._settings, self._plan = assessor, folder, settings, plan
        self._shard, self._num_parts, self._processes = shard, num_parts, processes
        self._clock = time.thread_time if assessor.guard.device == "cpu" else time.perf_counter
        self._begin()

    @property
    def num_rows(self) -> int:
        """Rows of the shard so far, those of finished parts among them."""
        return self._num_parts * self._settings.part_size + len(self._rows)

    def add(self, prepared: PreparedRow) -> None:
        """Takes the next row."""
        # Only now is it known that the part before is not the last.
        if len(self._rows) == self._settings.part_size:
            self._write(is_last=False)
        row = {
            "key": prepared.row.key,
            "status": prepared.status,
            "reason": prepared.reason,
            "notes": [],
            "text": prepared.row.text,
            "num_images": len(prepared.row.images),
            "model_version": self._assessor.model_version,
            "policy_version": self._assessor.policy_version,
            **prepared.facts,
        }
        self._rows.append(row)
        self._cost["images"] += len(prepared.row.images)
        self._cost["decode_seconds"] += prepared.seconds
        if prepared.status == ASSESSED:
            self._waiting.append((row, prepared))
            if len(self._waiting) == self._settings.batch_size:
                self._assess_waiting()

    def finish(self) -> None:
        """Writes the last part."""
        self._write(is_last=True)

    def _begin(self) -> None:
        self._rows: list[dict[str, Any]] = []
        self._waiting: list[tuple[dict[str, Any], PreparedRow]] = []
        self._cost = {"started": time.time(), "processes": self._processes} | dict.fromkeys(
            ("images", "decode_seconds", "assess_seconds"), 0.0
        )

    def _assess_waiting(self) -> None:
        start = self._clock()
        found = self._assessor.assess([prepared for _, prepared in self._waiting])
        self._cost["assess_seconds"] += self._clock() - start
        for (row, _), columns in zip(self._waiting, found, strict=True):
            row.update(columns)
        self._waiting = []

    def _write(self, is_last: bool) -> None:
        if self._waiting:
            self._assess_waiting()
        self._cost["finished"] = time.time()
        write_part(self._folder, PartName(self._shard, self._num_parts), self._rows, is_last, self._cost, self._plan)
        self._num_parts += 1
        self._begin()
