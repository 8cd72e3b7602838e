"""How well probabilities of risk levels and risk types agree with labels: accuracy, ranking and calibration."""

import warnings
from typing import Any

import numpy as np

from ..data.label_parsing import SOME_RISK, require_agreement
from ..models.safety_labels import RISK_TYPES, SAFETY_LEVELS, SAFETY_TYPES
from ..statistics import (
    area_under_roc,
    average_precision,
    expected_calibration_error,
    macro_f1,
    percentile_bootstrap,
    top_label,
)


DEFAULT_RESAMPLES = 500
LEAST_DEFINED = 0.95
"""Share of the resamples in which a figure must be defined for its interval to be given."""


def score_classifier(
    level_probs: np.ndarray,
    type_probs: np.ndarray,
    safety_level: np.ndarray,
    safety_type: np.ndarray,
    num_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """
    Scores probabilities against labels.

    Args:
        level_probs (`np.ndarray` of shape `(num_rows, 4)`): probabilities of the risk levels.
        type_probs (`np.ndarray` of shape `(num_rows, 7)`): probabilities of the risk types.
        safety_level (`np.ndarray` of shape `(num_rows,)`):
            True levels, 0 to 3; `SOME_RISK` (-1) where a risk is known, and not its level.
        safety_type (`np.ndarray` of shape `(num_rows,)`): true types, 0 to 6, or -1 likewise.
        num_resamples (`int`, *optional*, defaults to 500): resamples of the rows for the intervals; 0 gives none.
        seed (`int`, *optional*, defaults to 0): of the resamples.

    Returns:
        `dict` that JSON can hold:

        - `rows`, `num_resamples`, `seed`;
        - `level` and `type`: `rows` of which it is known, and on these `accuracy`, `macro_f1` (over the classes that
          occur) and `ece`, the calibration error of the most probable class;
        - `risky`, whether there is any risk (one minus the probability of level "none"): `rows` that are,
          `accuracy` of the most probable level, `auroc`, `auprc` and `ece`;
        - `types`, each risk type against all other rows whose type is known: `rows` of it, `auroc`, `auprc`, `ece`.

        Each figure is a dictionary of its `value` and its `interval`, the 95 % percentile-bootstrap interval over
        rows. Both are `None` where they are not defined, and `reason` says why. Resampled rows are less even than the
        rows themselves, so with few of them an `ece` may lie below its interval.

    Raises:
        ValueError: if shapes, probabilities or labels are not as described.

    Example:

    ```python
    >>> scores = score_classifier(level_probs, type_probs, safety_level, safety_type)
    >>> scores["types"]["privacy"]["auroc"]
    {'value': 0.93, 'interval': [0.89, 0.96]}
    >>> scores["types"]["politics"]["auroc"]
    {'value': None, 'interval': None, 'reason': 'none of the 400 rows is politics, so there is nothing to rank'}
    ```"""
    columns = _check_rows(level_probs, type_probs, safety_level, safety_type)
    values = _figures(*columns)
    intervals = _bootstrap(columns, num_resamples, seed) if num_resamples else {}
    levels, types = columns[2:]
    num_rows, num_typed = len(levels), int((types != SOME_RISK).sum())
    counts = {"level": int((levels != SOME_RISK).sum()), "type": num_typed, "risky": int((levels != 0).sum())}
    counts |= {name: int((types == index).sum()) for index, name in enumerate(RISK_TYPES)}

    def group(name: str) -> dict[str, Any]:
        found: dict[str, Any] = {"rows": counts[name]}
        of_rows = num_typed if name in RISK_TYPES else num_rows
        for (owner, figure), value in values.items():
            if owner == name:
                found[figure] = _describe(value, intervals.get((owner, figure)), name, counts[name], of_rows)
        return found

    return {
        "rows": num_rows,
        "num_resamples": num_resamples,
        "seed": seed,
        **{name: group(name) for name in ("level", "type", "risky")},
        "types": {name: group(name) for name in RISK_TYPES},
    }


def _figures(
    level_probs: np.ndarray, type_probs: np.ndarray, level: np.ndarray, risk_type: np.ndarray
) -> dict[tuple[str, str], float | None]:
    """Every figure by its group and its name; `None` where it is not defined."""
    figures: dict[tuple[str, str], float | None] = {}
    for name, probs, labels in (("level", level_probs, level), ("type", type_probs, risk_type)):
        known = labels != SOME_RISK
        figures |= dict.fromkeys([(name, figure) for figure in ("accuracy", "macro_f1", "ece")])
        if known.any():
            confidence, is_right = top_label(probs[known], labels[known])
            figures[name, "accuracy"] = float(is_right.mean())
            figures[name, "macro_f1"] = float(macro_f1(labels[known], probs[known].argmax(axis=1)))
            figures[name, "ece"] = expected_calibration_error(confidence, is_right)
    is_risky = level != 0
    figures["risky", "accuracy"] = float(((level_probs.argmax(axis=1) > 0) == is_risky).mean())
    typed = risk_type != SOME_RISK
    one_against_rest = {name: (type_probs[typed, i], risk_type[typed] == i) for i, name in enumerate(RISK_TYPES)}
    for name, (probs, is_true) in {"risky": (1 - level_probs[:, 0], is_risky), **one_against_rest}.items():
        figures[name, "auroc"] = area_under_roc(is_true, probs)
        figures[name, "auprc"] = average_precision(is_true, probs)
        figures[name, "ece"] = expected_calibration_error(probs, is_true)
    return figures


def _bootstrap(
    columns: tuple[np.ndarray, ...], num_resamples: int, seed: int
) -> dict[tuple[str, str], tuple[list[float] | None, int]]:
    """For each figure its interval, and in how many resamples it was defined; all figures share the resamples."""

    def statistic(rows: np.ndarray) -> np.ndarray:
        return np.array(list(_figures(*(column[rows] for column in columns)).values()), dtype=float)

    with warnings.catch_warnings():
        # Resamples without a class are told apart below.
        warnings.simplefilter("ignore")
        rows = np.arange(len(columns[0]))
        resampled = percentile_bootstrap((rows,), statistic, num_resamples, seed, vectorized=False)
    intervals = {}
    for key, values in zip(_figures(*columns), resampled.bootstrap_distribution):
        defined = values[~np.isnan(values)]
        is_given = len(defined) >= LEAST_DEFINED * num_resamples
        intervals[key] = (np.percentile(defined, [2.5, 97.5]).tolist() if is_given else None, len(defined))
    return intervals


def _describe(
    value: float | None, interval: tuple[list[float] | None, int] | None, name: str, count: int, num_rows: int
) -> dict[str, Any]:
    if value is None:
        share = "none of the {} rows is {}" if not count else "all {} rows are {}"
        if name in ("level", "type"):
            return {"value": None, "interval": None, "reason": f"of none of the {num_rows} rows the {name} is known"}
        reason = f"{share.format(num_rows, name)}, so there is nothing to rank"
        return {"value": None, "interval": None, "reason": reason}
    if interval is None:
        return {"value": value, "interval": None, "reason": "no resamples were asked for"}
    if interval[0] is None:
        reason = f"with so few rows of either kind the figure is defined in only {interval[1]} resamples"
        return {"value": value, "interval": None, "reason": reason}
    return {"value": value, "interval": interval[0]}


def _check_rows(
    level_probs: np.ndarray, type_probs: np.ndarray, level: np.ndarray, risk_type: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    level, risk_type = np.asarray(level), np.asarray(risk_type)
    checked = []
    for name, given, labels, classes in (
        ("level", level_probs, level, SAFETY_LEVELS),
        ("type", type_probs, risk_type, SAFETY_TYPES),
    ):
        probs = np.asarray(given, dtype=np.float64)
        if probs.shape != (len(level), len(classes)) or labels.shape != (len(level),):
            raise ValueError(
                f"`{name}_probs` and `safety_{name}` must have the shapes ({len(level)}, {len(classes)}) and "
                f"({len(level)},), got {probs.shape} and {labels.shape}."
            )
        is_sound = (probs >= 0).all(axis=1) & (np.abs(probs.sum(axis=1) - 1) < 1e-3)
        if not is_sound.all():
            raise ValueError(
                f"Row {int(np.argmin(is_sound)) + 1}: `{name}_probs` must be probabilities that sum to 1, got "
                f"{probs[np.argmin(is_sound)].tolist()}."
            )
        if not np.isin(labels, [SOME_RISK, *range(len(classes))]).all():
            raise ValueError(
                f"`safety_{name}` must hold indices from 0 to {len(classes) - 1}, or -1 for some risk; leave "
                "others out."
            )
        checked.append(probs)
    require_agreement(level, risk_type)
    if len(level) < 2:
        raise ValueError(f"At least 2 labelled rows are needed, got {len(level)}.")
    return checked[0], checked[1], level, risk_type
