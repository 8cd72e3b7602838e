"""The audit: every picture of a dataset judged by the guard, in a table, with a report."""
