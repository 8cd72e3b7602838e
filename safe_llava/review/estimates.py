"""Statistics with their intervals, or the reason why there is none.

Ratings come as *units*: for each thing that was rated, the value that each rater gave it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import krippendorff
import numpy as np
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from ..statistics import mean_interval, wilson_interval


CONFIDENCE = 0.95
"""Of the intervals that the package's statistics give."""

Units: TypeAlias = Mapping[Any, Mapping[str, float]]


def undefined(reason: str, n: int = 0) -> dict[str, Any]:
    """A statistic that has no value: `value` is `None`, `reason` says why, `n` is how many units there were."""
    return {"value": None, "n": n, "reason": reason}


def mean_estimate(values: Sequence[float]) -> dict[str, Any]:
    """
    The mean of independent values, with its 95 % bootstrap interval ([`~safe_llava.statistics.mean_interval`]).

    Args:
        values (`Sequence[float]`): one value for each sample.

    Returns:
        `dict[str, Any]`: `value`, `interval` and `n`. Where there is nothing to resample, `interval` is `None` and
        `reason` says why.
    """
    if not values:
        return undefined("no rating")
    estimate: dict[str, Any] = {"value": float(np.mean(values)), "interval": None, "n": len(values)}
    if len(values) < 2:
        return estimate | {"reason": "one sample has no interval"}
    if len(set(values)) == 1:
        return estimate | {"reason": "all samples have the same value, so a bootstrap interval has no width"}
    return estimate | {"interval": mean_interval(values)}


def share_estimate(count: int, n: int) -> dict[str, Any]:
    """
    A share of independent samples with its 95 % Wilson interval ([`~safe_llava.statistics.wilson_interval`]).

    Args:
        count (`int`): how many of the samples count for the share.
        n (`int`): how many samples there are.

    Returns:
        `dict[str, Any]`: `value`, `interval`, `n` and `count`; `value` is `None`, with a `reason`, where `n` is 0.
    """
    if n == 0:
        return undefined("no sample", n)
    interval = wilson_interval([True] * count + [False] * (n - count))
    return {"value": count / n, "interval": interval, "n": n, "count": count}


def kappa(
    units: Units, first: str, second: str, labels: Sequence[int], weights: Literal["linear", "quadratic"] | None = None
) -> dict[str, Any]:
    """
    Cohen's kappa of two raters over the units that both rated.

    Args:
        units (`Units`): the ratings.
        first (`str`): a rater.
        second (`str`): another rater.
        labels (`Sequence[int]`): all values there are, in their order.
        weights (`"linear"` or `"quadratic"`, *optional*): how much a greater distance counts for more.

    Returns:
        `dict[str, Any]`: `value` and `n`; `value` is `None`, with a `reason`, where it is undefined.
    """
    pairs = [(values[first], values[second]) for values in units.values() if first in values and second in values]
    if not pairs:
        return undefined("the two rated nothing in common")
    if any(value not in labels for pair in pairs for value in pair):
        return undefined("kappa needs whole numbers", len(pairs))
    if len({value for pair in pairs for value in pair}) == 1:
        return undefined("both gave the same value everywhere", len(pairs))
    ratings = np.array(pairs, dtype=np.int64)
    value = cohen_kappa_score(ratings[:, 0], ratings[:, 1], labels=list(labels), weights=weights)
    return {"value": float(value), "n": len(pairs)}


def alpha(units: Units, level: Literal["nominal", "ordinal", "interval"]) -> dict[str, Any]:
    """
    Krippendorff's alpha of all raters, who need not have rated everything.

    Args:
        units (`Units`): the ratings.
        level (`"nominal"`, `"ordinal"` or `"interval"`): what differences between values mean.

    Returns:
        `dict[str, Any]`: `value`, and `n`, the number of units with two ratings or more; `value` is `None`, with a
        `reason`, where it is undefined.
    """
    shared = [values for values in units.values() if len(values) > 1]
    if not shared:
        names = {rater for values in units.values() for rater in values}
        return undefined("there is one rater" if len(names) == 1 else "nothing was rated by two raters")
    if len({value for values in shared for value in values.values()}) == 1:
        return undefined("all ratings have the same value", len(shared))
    raters = sorted({rater for values in shared for rater in values})
    data = np.array([[values.get(rater, np.nan) for values in shared] for rater in raters], dtype=np.float64)
    value = krippendorff.alpha(reliability_data=data, level_of_measurement=level)
    return {"value": float(value), "n": len(shared)}


def rank_correlation(
    first: Sequence[float], second: Sequence[float], kind: Literal["spearman", "kendall"]
) -> dict[str, Any]:
    """
    Spearman's rho or Kendall's tau-b of paired values. No p-value: several outputs of a sample are not independent.

    Args:
        first (`Sequence[float]`): people's values.
        second (`Sequence[float]`): the judge's values of the same things.
        kind (`"spearman"` or `"kendall"`): which of the two.

    Returns:
        `dict[str, Any]`: `value` and `n`; `value` is `None`, with a `reason`, where it is undefined.
    """
    if len(first) < 2:
        return undefined("fewer than two ratings in common", len(first))
    for values, whose in ((first, "people's"), (second, "the judge's")):
        if len(set(values)) == 1:
            return undefined(f"{whose} ratings are all the same", len(first))
    correlation = stats.spearmanr if kind == "spearman" else stats.kendalltau
    return {"value": float(correlation(first, second).statistic), "n": len(first)}
