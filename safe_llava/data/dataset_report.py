"""What the checks found in a dataset, row by row; and in words, each kind of fault once."""

import re
from collections import defaultdict
from dataclasses import dataclass


_ROWS_NAMED = 5
_KINDS_NAMED = 20
_DETAILS = re.compile(r"\bimage .+(?= (?:is missing|cannot be decoded))|'[^']*'(?!:| is missing)|\b\d+\b|\(.*\)")
"""What differs between faults of one kind: files, values, numbers, places."""


@dataclass(frozen=True)
class BadRow:
    """
    A row that cannot be trained on.

    Args:
        number (`int`): line in the file, or position in the dataset, counted from 1.
        reasons (`tuple[str, ...]`): everything that is wrong with the row.
    """

    number: int
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"row {self.number}: {'; '.join(self.reasons)}"


@dataclass(frozen=True)
class DatasetReport:
    """
    How many rows a source has and which of them are bad.

    Args:
        source (`str`): file, folder or Hub id that was read.
        num_rows (`int`): rows found, good and bad, blank lines not counted.
        bad_rows (`tuple[BadRow, ...]`): the bad ones, in order.
        left_out (`tuple[BadRow, ...]`): sound rows that a written rule of a public set leaves out, each with the rule.
    """

    source: str
    num_rows: int
    bad_rows: tuple[BadRow, ...]
    left_out: tuple[BadRow, ...] = ()

    def __str__(self) -> str:
        if not self.num_rows:
            return f"{self.source} has no rows"
        return "\n  ".join(
            [f"{len(self.bad_rows)} of {self.num_rows} rows of {self.source} are bad", *_describe(self.bad_rows)]
        )

    def describe_left_out(self) -> str:
        """How many rows are left out, and by which rules."""
        counted = f"{len(self.left_out)} of {self.num_rows} rows of {self.source}"
        return "\n  ".join([counted, *_describe(self.left_out)])


class InvalidDatasetError(ValueError):
    """
    A dataset has bad rows, and the caller did not ask to skip them.

    Args:
        report ([`DatasetReport`]): the full report; the message has each kind of fault once, with the first rows.
    """

    def __init__(self, report: DatasetReport):
        advice = "\nMend these rows, or leave them out with on_error='skip'." if report.bad_rows else ""
        super().__init__(f"{report}{advice}")
        self.report = report


def _describe(rows: tuple[BadRow, ...]) -> list[str]:
    kinds: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in rows:
        for reason in row.reasons:
            kinds[_DETAILS.sub("...", reason)].append((row.number, reason))
    lines = []
    for found in sorted(kinds.values(), key=len, reverse=True)[:_KINDS_NAMED]:
        numbers = list(dict.fromkeys(number for number, _ in found))
        named = ", ".join(map(str, numbers[:_ROWS_NAMED]))
        if len(numbers) == 1:
            lines.append(f"row {named}: {found[0][1]}")
        else:
            more = ", ..." if len(numbers) > _ROWS_NAMED else ""
            lines.append(f"{len(numbers)} rows ({named}{more}), the first: {found[0][1]}")
    if len(kinds) > _KINDS_NAMED:
        lines.append(f"and {len(kinds) - _KINDS_NAMED} more kinds of fault")
    return lines
