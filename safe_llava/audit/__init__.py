"""The audit: every image of a dataset assessed by the guard, in a table, with a report."""

from .run_audit import AuditOutcome, run_audit
from .sources import SourceSpec
from .verdict_table import read_verdicts


__all__ = ["AuditOutcome", "SourceSpec", "read_verdicts", "run_audit"]
