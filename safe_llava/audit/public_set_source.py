"""A public set by its name: every row with its question, sound or not."""

from typing import Any

from ..data.sources import SetRows
from .audit_row import AuditRow
from .dataset_source import DatasetSource


class PublicSetSource(DatasetSource):
    """
    The rows of a public set. A row without its conversation or an image is a row with a problem. Whatever else is
    wrong with one keeps it from training, not from being assessed.

    Args:
        rows ([`~safe_llava.data.sources.SetRows`]): the set.
        name (`str`): what keys begin with.
        shard_size (`int`): rows of a shard.
    """

    def __init__(self, rows: SetRows, name: str, shard_size: int):
        super().__init__(rows.dataset, name, shard_size, ("images",), "messages")
        self._name = name
        self._problems = {f"{name}/{number - 1}": reasons for number, reasons in rows.problems.items()}

    def _row(self, key: str, record: dict[str, Any]) -> AuditRow:
        if key in self._problems and not (record["messages"] and record["images"]):
            return AuditRow(key, problem=f"not a row: {'; '.join(self._problems[key])}")
        return super()._row(key, record)
