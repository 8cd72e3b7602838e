"""What the report page counts and draws, computed on the columns of a verdict table."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..data.near_duplicates import NearDuplicates
from ..models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from .report_samples import find_flagged, find_untrusted, read_rows, take_first
from .verdict_table import ASSESSED, UNREADABLE


NUM_BINS = 20
MAX_TICKS = 4
MAX_REASONS = 30
NUM_EXAMPLES = 5


def count_types_and_levels(table: pa.Table) -> dict[str, Any]:
    """
    Counts the assessed rows by the head's type and level.

    Args:
        table (`pa.Table`): one verdict a row.

    Returns:
        `dict`: `rows`, one `{"name", "levels", "all", "flagged"}` for each type. `flagged` counts the rows in which
        the policy acted on the type, so a row may count for several types. Rows whose verdict cannot be trusted are
        counted apart as `untrusted`. `total` is the last row of the table, which counts each sample once, and those
        too.
    """
    is_assessed = pc.equal(table["status"], ASSESSED).to_numpy()
    types, levels = (
        pc.fill_null(pc.index_in(table[column], pa.array(names)), -1).to_numpy()
        for column, names in (("type", SAFETY_TYPES), ("level", SAFETY_LEVELS))
    )
    is_untrusted = is_assessed & find_untrusted(table).to_numpy()
    is_counted = is_assessed & ~is_untrusted
    cells = np.bincount(
        types[is_counted] * len(SAFETY_LEVELS) + levels[is_counted], minlength=len(SAFETY_TYPES) * len(SAFETY_LEVELS)
    ).reshape(len(SAFETY_TYPES), len(SAFETY_LEVELS))
    is_flagged = find_flagged(table)
    acted_on = pc.value_counts(pc.list_flatten(table["types"].filter(pa.array(is_flagged & is_counted))))
    flagged_types = dict(zip(*(values.to_pylist() for values in acted_on.flatten())))
    return {
        "rows": [
            {"name": name, "levels": row.tolist(), "all": int(row.sum()), "flagged": flagged_types.get(name, 0)}
            for name, row in zip(SAFETY_TYPES, cells)
        ],
        "untrusted": int(is_untrusted.sum()),
        "total": {
            "levels": cells.sum(axis=0).tolist(),
            "all": int(is_assessed.sum()),
            "flagged": int(is_flagged.sum()),
        },
    }


def draw_histogram(values: np.ndarray, is_flagged: np.ndarray) -> dict[str, Any]:
    """
    A histogram of scores between 0 and 1 on a logarithmic scale, as fractions of the space that it is drawn into.

    Args:
        values (`np.ndarray` of shape `(num_rows,)`): NaN where a row has no score.
        is_flagged (`np.ndarray` of shape `(num_rows,)`): which rows are flagged.

    Returns:
        `dict`: `bars`, each with its `low` and `high` score, the counts `all` and `flagged`, and their heights;
        `ticks`, counts with their heights.
    """
    every, flagged = (
        np.histogram(chosen, bins=NUM_BINS, range=(0, 1))[0].tolist() for chosen in (values, values[is_flagged])
    )
    # A bar of one row still shows, and one of none does not.
    top = math.log1p(max(every)) or 1.0
    decades = range(1 + int(math.log10(max(*every, 1))))
    return {
        "bars": [
            {
                "low": index / NUM_BINS,
                "high": (index + 1) / NUM_BINS,
                "all": num_all,
                "flagged": num_flagged,
                "all_height": math.log1p(num_all) / top,
                "flagged_height": math.log1p(num_flagged) / top,
            }
            for index, (num_all, num_flagged) in enumerate(zip(every, flagged))
        ],
        "ticks": [
            {"count": 10**decade, "height": math.log1p(10**decade) / top}
            for decade in decades[:: math.ceil(len(decades) / MAX_TICKS)]
        ],
    }


def list_unreadable(table: pa.Table, order: np.ndarray) -> dict[str, Any]:
    """
    Counts the unreadable rows by their reason, as far as its colon: what stands behind it is the row's own.

    Args:
        table (`pa.Table`): one verdict a row.
        order (`np.ndarray` of shape `(num_rows,)`): the numbers of [`shuffle_keys`], by which examples are chosen.

    Returns:
        `dict`: `reasons`, the most frequent ones, each with `reason`, `rows` and `examples` of keys; of the others
        `num_other_reasons` and `num_other_rows`.
    """
    is_unreadable = pc.equal(table["status"], UNREADABLE)
    positions = np.flatnonzero(is_unreadable.to_numpy())
    reasons = pc.list_element(pc.split_pattern(table["reason"].filter(is_unreadable), ":", max_splits=1), 0)
    counts = sorted(_count_values(reasons).items(), key=lambda item: (-item[1], item[0]))
    shown, others = counts[:MAX_REASONS], counts[MAX_REASONS:]
    return {
        "reasons": [
            {
                "reason": reason,
                "rows": num_rows,
                "examples": example_keys(table, positions[pc.equal(reasons, reason).to_numpy()], order),
            }
            for reason, num_rows in shown
        ],
        "num_other_reasons": len(others),
        "num_other_rows": sum(num_rows for _, num_rows in others),
    }


def list_notes(table: pa.Table) -> dict[str, int]:
    """How many rows bear each of the most frequent notes."""
    counts = _count_values(pc.list_flatten(table["notes"]))
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_REASONS])


def example_keys(table: pa.Table, rows: np.ndarray, order: np.ndarray) -> list[str]:
    """A few keys of these rows, the same ones whatever the order of the rows."""
    return [row["key"] for row in read_rows(table.select(["key"]), take_first(rows, order, NUM_EXAMPLES))]


def largest_groups(
    duplicates: NearDuplicates, rows: np.ndarray, table: pa.Table, order: np.ndarray, num_groups: int
) -> list[dict[str, Any]]:
    """
    The largest groups of near duplicates.

    Args:
        duplicates ([`NearDuplicates`]): the groups.
        rows (`np.ndarray` of shape `(num_grouped_rows,)`): positions in the table of what was grouped.
        table (`pa.Table`): one verdict a row.
        order (`np.ndarray` of shape `(num_rows,)`): the numbers of [`shuffle_keys`], by which examples are chosen.
        num_groups (`int`): how many groups, or all of them where there are fewer.

    Returns:
        `list[dict]`: of each group `rows`, how many rows it has, and `examples` of their keys.
    """
    return [
        {"rows": len(duplicates[index]), "examples": example_keys(table, rows[duplicates[index]], order)}
        for index in range(min(num_groups, len(duplicates)))
    ]


def _count_values(values: pa.ChunkedArray) -> dict[str, int]:
    names, counts = pc.value_counts(values).flatten()
    return dict(zip(names.to_pylist(), counts.to_pylist()))
