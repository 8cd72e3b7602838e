"""What the checks found in a dataset, row by row."""

from dataclasses import dataclass


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
    """

    source: str
    num_rows: int
    bad_rows: tuple[BadRow, ...]

    def __str__(self) -> str:
        if not self.num_rows:
            return f"{self.source} has no rows"
        lines = [f"{len(self.bad_rows)} of {self.num_rows} rows of {self.source} are bad", *map(str, self.bad_rows)]
        return "\n  ".join(lines)


class InvalidDatasetError(ValueError):
    """
    A dataset has bad rows, and the caller did not ask to skip them.

    Args:
        report ([`DatasetReport`]): the full report; the message lists every bad row with its reasons.
    """

    def __init__(self, report: DatasetReport):
        advice = "\nMend these rows, or leave them out with on_error='skip'." if report.bad_rows else ""
        super().__init__(f"{report}{advice}")
        self.report = report
