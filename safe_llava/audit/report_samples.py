"""Which rows of a verdict table a reviewer looks at: the riskiest, and random ones of the flagged and the passed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from ..models.safety_labels import SAFETY_LEVELS
from .verdict_table import ASSESSED


_ROWS_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Samples:
    """
    Rows of a verdict table, each a dictionary of its columns, its `risk_score` and whether it `is_flagged`.

    Args:
        riskiest (`list[dict]`): of all rows that have a score those with the highest, the highest first.
        flagged (`list[dict]`): a random sample of the flagged rows, in random order.
        passed (`list[dict]`): a random sample of the passed rows, in random order.
    """

    riskiest: list[dict[str, Any]]
    flagged: list[dict[str, Any]]
    passed: list[dict[str, Any]]


def find_flagged(table: pa.Table) -> np.ndarray:
    """Marks the assessed rows that the policy does not simply answer, or whose verdict cannot be trusted."""
    is_assessed = pc.equal(table["status"], ASSESSED)
    is_answered = pc.fill_null(pc.equal(table["action"], "answer"), False)
    return pc.and_(is_assessed, pc.or_(pc.invert(is_answered), find_untrusted(table))).to_numpy()


def find_passed(table: pa.Table) -> np.ndarray:
    """Marks the assessed rows that are not flagged."""
    return pc.equal(table["status"], ASSESSED).to_numpy() & ~find_flagged(table)


def find_untrusted(table: pa.Table) -> pa.ChunkedArray:
    """Marks the rows whose verdict cannot be trusted (see [`SafetyVerdict`])."""
    return pc.fill_null(pc.invert(table["trusted"]), False)


def score_risk(table: pa.Table) -> np.ndarray:
    """
    The mean level that the head expects, from 0 for none to 1 for high, times the probability that the type is not
    "safe": the policy's joint condition of level and type with probabilities in place of classes (arXiv 2405.13581,
    section 3.3). Unlike 1 - P(none) it tells sure cases of low risk from sure cases of high risk. It knows nothing of
    the policy, so what a policy lets pass is ranked too.

    Args:
        table (`pa.Table`): one verdict a row.

    Returns:
        `np.ndarray` of shape `(num_rows,)` and dtype float64: NaN where there is no verdict, or none to be trusted.
    """
    expected = np.zeros(table.num_rows)
    for index, level in enumerate(SAFETY_LEVELS):
        expected += index * table[f"level_prob_{level}"].to_numpy()
    scores = expected / (len(SAFETY_LEVELS) - 1) * (1 - table["type_prob_safe"].to_numpy().astype(np.float64))
    scores[find_untrusted(table).to_numpy()] = np.nan
    return scores


def choose_samples(table: pa.Table, num_samples: int = 100, seed: int = 0) -> Samples:
    """
    Chooses the rows to look at. The choice depends on the keys, not on the order of the rows; and where a table only
    grows, most of a random sample stays.

    Args:
        table (`pa.Table`): one verdict a row.
        num_samples (`int`, *optional*, defaults to 100): rows of each kind, or all of them where there are fewer.
        seed (`int`, *optional*, defaults to 0): another one gives other random samples. Not negative.

    Returns:
        [`Samples`]
    """
    order, scores, is_flagged = shuffle_keys(table["key"], seed), score_risk(table), find_flagged(table)
    choices = {
        "riskiest": _highest(scores, order, num_samples),
        "flagged": take_first(np.flatnonzero(is_flagged), order, num_samples),
        "passed": take_first(np.flatnonzero(find_passed(table)), order, num_samples),
    }

    def describe(row: int) -> dict[str, Any]:
        more = {"risk_score": float(scores[row]), "is_flagged": bool(is_flagged[row])}
        return read_rows(table, [row])[0] | more

    return Samples(**{name: [describe(row) for row in rows] for name, rows in choices.items()})


def shuffle_keys(keys: pa.ChunkedArray, seed: int = 0) -> np.ndarray:
    """A number for each row that only its key and the seed decide: sorted by it, the rows are in random order."""
    parts = [np.empty(0, np.uint64)]
    for start in range(0, len(keys), _ROWS_AT_ONCE):
        values = keys.slice(start, _ROWS_AT_ONCE).to_numpy()
        parts.append(pd.util.hash_array(values, hash_key=f"{seed:016d}", categorize=False))
    return np.concatenate(parts)


def take_first(rows: np.ndarray, order: np.ndarray, num_rows: int) -> np.ndarray:
    """Of these positions of rows the first `num_rows` in that order, sorted by it."""
    if len(rows) > num_rows:
        rows = rows[np.argpartition(order[rows], num_rows)[:num_rows]]
    return rows[np.argsort(order[rows])]


def read_rows(table: pa.Table, rows: Sequence[int] | np.ndarray) -> list[dict[str, Any]]:
    """A few rows as dictionaries. `Table.take` would join the chunks of long columns, and may not find the room."""
    return [table.slice(int(row), 1).to_pylist()[0] for row in rows]


def _highest(scores: np.ndarray, order: np.ndarray, num_rows: int) -> np.ndarray:
    rows = np.flatnonzero(~np.isnan(scores))
    if len(rows) > num_rows:
        least = -np.partition(-scores[rows], num_rows - 1)[num_rows - 1]
        rows = rows[scores[rows] >= least]
    return rows[np.lexsort((order[rows], -scores[rows]))][:num_rows]
