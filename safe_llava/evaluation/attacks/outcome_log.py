"""The outcomes of attacks, one JSON object a line, each on the disk as soon as it is known."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from .attack_reply import AttackReply


@dataclass(frozen=True)
class Outcome:
    """
    What one attack came to on one row. Its first four fields say which.

    Args:
        model (`str`): digest of the model's files.
        attack (`str`): name of the attack; `"clean"` for the row as it is.
        row (`str`): key of the row.
        seed (`int`): of the run.
        kind (`str`), question (`str`), begun (`str`):
            The row's kind, the words that were asked last, and those that the answer began with already.
        answer, unsafe, told, missed, passed, level, type, decision, epsilon, steps: see [`AttackReply`].
    """

    model: str
    attack: str
    row: str
    seed: int
    kind: str
    question: str
    begun: str
    answer: str
    unsafe: bool
    told: bool
    missed: bool | None
    passed: bool | None
    level: str | None
    type: str | None
    decision: str | None
    epsilon: int | None
    steps: int | None

    @property
    def key(self) -> tuple[str, str, str, int]:
        """Which outcome it is."""
        return self.model, self.attack, self.row, self.seed

    @classmethod
    def of(cls, model: str, attack: str, seed: int, reply: AttackReply) -> "Outcome":
        """The outcome of a reply."""
        row = reply.row
        found = {field.name: getattr(reply, field.name) for field in fields(reply) if field.name != "row"}
        return cls(model, attack, row.key, seed, row.kind, row.question, row.begun, **found)


class OutcomeLog:
    """
    The file of outcomes. A line that a killed run left unfinished is taken off.

    Args:
        path (`Path`): the file, which need not be there yet.

    Raises:
        ValueError: if a whole line is no outcome.
    """

    def __init__(self, path: Path):
        self.path = path
        self.outcomes: dict[tuple[str, str, str, int], Outcome] = {}
        written = path.read_bytes() if path.exists() else b""
        whole, line_break, unfinished = written.rpartition(b"\n")
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                outcome = Outcome(**json.loads(line))
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{path}, line {number}, is no outcome of an attack ({error}). Delete the line; it is tried again."
                ) from None
            self.outcomes[outcome.key] = outcome
        if unfinished:
            os.truncate(path, len(whole) + len(line_break))

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Adds outcomes, which are on the disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as file:
            file.write(b"".join(_to_line(asdict(outcome)) for outcome in outcomes))
            file.flush()
            os.fsync(file.fileno())
        self.outcomes |= {outcome.key: outcome for outcome in outcomes}


def _to_line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"
