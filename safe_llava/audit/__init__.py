"""The audit: every picture of a dataset judged by the guard, in a table, with a report."""

from .run import AuditOutcome, run_audit
from .sources import SourceSpec
from .table import read_verdicts


__all__ = ["AuditOutcome", "SourceSpec", "read_verdicts", "run_audit"]
