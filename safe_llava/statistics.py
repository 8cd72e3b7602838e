"""Figures with their uncertainty: one setting of each statistic for the whole package."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest, bootstrap
from sklearn.metrics import average_precision_score, roc_auc_score


NUM_BINS = 15
"""Equal-width bins of the calibration error, as in section 5 of Guo et al. 2017, arXiv 1706.04599."""
NUM_RESAMPLES = 2000
LEAST_UNITS = 2


def wilson_interval(outcomes: Sequence[bool]) -> list[float]:
    """
    95 % confidence interval of a share, by Wilson's score, which stays within [0, 1] near its ends.

    Args:
        outcomes (`Sequence[bool]`): at least one.

    Returns:
        `list[float]`: its two ends.
    """
    interval = binomtest(sum(outcomes), len(outcomes)).proportion_ci(0.95, method="wilson")
    return [float(interval.low), float(interval.high)]


def percentile_bootstrap(
    samples: Sequence[np.ndarray],
    statistic: Callable[..., np.ndarray],
    num_resamples: int = NUM_RESAMPLES,
    seed: int = 0,
    *,
    paired: bool = False,
    vectorized: bool = True,
) -> Any:
    """
    The one bootstrap of the package: percentile, at 95 %.

    Args:
        samples (`Sequence[np.ndarray]`): columns, resampled each by itself unless they are `paired`.
        statistic (`Callable`): takes the resampled columns, and `axis` where it is `vectorized`.
        num_resamples (`int`, *optional*, defaults to 2000): how often rows are drawn.
        seed (`int`, *optional*, defaults to 0): of the resampling.
        paired (`bool`, *optional*, defaults to `False`): whether the columns share their rows.
        vectorized (`bool`, *optional*, defaults to `True`): whether `statistic` takes many resamples at once.

    Returns:
        scipy's `BootstrapResult`: `confidence_interval`, `standard_error` and `bootstrap_distribution`.
    """
    return bootstrap(
        samples,
        statistic,
        paired=paired,
        vectorized=vectorized,
        n_resamples=num_resamples,
        batch=100,
        method="percentile",
        rng=np.random.default_rng(seed),
    )


def bootstrap_interval(truth: np.ndarray, predicted: np.ndarray, seed: int = 0) -> list[float]:
    """
    95 % percentile-bootstrap interval of the macro-F1 over rows, of 500 resamples.

    Args:
        truth (`np.ndarray` of shape `(num_rows,)`): the true types.
        predicted (`np.ndarray` of shape `(num_rows,)`): the predicted ones.
        seed (`int`, *optional*, defaults to 0): of the resampling.

    Returns:
        `list[float]`: its two ends.
    """
    resampled = percentile_bootstrap((truth, predicted), macro_f1, 500, seed, paired=True)
    return [float(resampled.confidence_interval.low), float(resampled.confidence_interval.high)]


def macro_f1(truth: np.ndarray, predicted: np.ndarray, axis: int = -1) -> np.ndarray:
    """
    Mean of the F1 of each type that occurs in `truth`. scikit-learn's is the same for one set of rows; this one takes
    all resamples of a bootstrap at once.

    Args:
        truth, predicted (`np.ndarray`): types, with the rows along `axis`.
        axis (`int`, *optional*, defaults to -1): of the rows.

    Returns:
        `np.ndarray`: a figure for each resample.
    """
    types = np.unique(truth)
    is_type = np.moveaxis(truth, axis, -1)[..., None] == types
    is_predicted = np.moveaxis(predicted, axis, -1)[..., None] == types
    hits, support = (is_type & is_predicted).sum(axis=-2), is_type.sum(axis=-2)
    f1 = 2 * hits / np.maximum(support + is_predicted.sum(axis=-2), 1)
    return f1.mean(axis=-1, where=support > 0)


def area_under_roc(is_true: np.ndarray, probs: np.ndarray) -> float | None:
    """
    How well probabilities rank what is true above what is not, 0.5 being chance.

    Args:
        is_true (`np.ndarray` of shape `(num_rows,)`): what is true.
        probs (`np.ndarray` of shape `(num_rows,)`): how probable it was said to be.

    Returns:
        `float`: `None` where all rows are of a kind.
    """
    return float(roc_auc_score(is_true, probs)) if 0 < is_true.sum() < len(is_true) else None


def average_precision(is_true: np.ndarray, probs: np.ndarray) -> float | None:
    """
    Area under the precision-recall curve, the share that is true being chance.

    Args:
        is_true (`np.ndarray` of shape `(num_rows,)`): what is true.
        probs (`np.ndarray` of shape `(num_rows,)`): how probable it was said to be.

    Returns:
        `float`: `None` where all rows are of a kind.
    """
    return float(average_precision_score(is_true, probs)) if 0 < is_true.sum() < len(is_true) else None


def mean_interval(values: Sequence[float]) -> list[float] | None:
    """
    95 % percentile-bootstrap interval of a mean.

    Args:
        values (`Sequence[float]`): independent of each other.

    Returns:
        `list[float]`: as of [`sum_of_means_interval`].
    """
    return sum_of_means_interval([values])


def sum_of_means_interval(strata: Sequence[Sequence[float]], seed: int = 0) -> list[float] | None:
    """
    95 % percentile-bootstrap interval of a sum of means, each stratum resampled by itself. Of differences, unit by
    unit, it is the interval of the paired difference.

    Args:
        strata (`Sequence[Sequence[float]]`): for each stratum the values of its independent units.
        seed (`int`, *optional*, defaults to 0): of the resampling.

    Returns:
        `list[float]`: its two ends, which are equal where all units of each stratum are; `None` where a stratum has
        fewer than two units.
    """
    columns = [np.asarray(values, dtype=float) for values in strata]
    if min(map(len, columns), default=0) < LEAST_UNITS:
        return None
    total = float(sum(column.mean() for column in columns))
    if all((column == column[0]).all() for column in columns):
        return [total, total]
    resampled = percentile_bootstrap(
        columns, lambda *samples, axis: sum(sample.mean(axis=axis) for sample in samples), seed=seed
    )
    return [float(resampled.confidence_interval.low), float(resampled.confidence_interval.high)]


def top_label(probs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    The most probable class of each row.

    Args:
        probs (`np.ndarray` of shape `(num_rows, num_classes)`): predicted probabilities.
        labels (`np.ndarray` of shape `(num_rows,)`): the true classes.

    Returns:
        `tuple[np.ndarray, np.ndarray]`: the confidence in it, and whether it is the true one.
    """
    return probs.max(axis=1), probs.argmax(axis=1) == labels


def reliability(confidence: np.ndarray, is_right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    What a reliability diagram shows.

    Args:
        confidence (`np.ndarray` of shape `(num_rows,)`): predicted probabilities in [0, 1].
        is_right (`np.ndarray` of shape `(num_rows,)`): whether what was predicted is true.

    Returns:
        `tuple` of three `np.ndarray`, with an entry for each bin that has rows: their mean confidence, the share that
        is right, and their number.
    """
    bins = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    counts = np.bincount(bins, minlength=NUM_BINS)
    filled = counts > 0
    mean_confidence = np.bincount(bins, confidence, NUM_BINS)[filled] / counts[filled]
    share_right = np.bincount(bins, is_right, NUM_BINS)[filled] / counts[filled]
    return mean_confidence, share_right, counts[filled]


def expected_calibration_error(confidence: np.ndarray, is_right: np.ndarray) -> float:
    """
    ECE = sum over bins of (rows in bin / rows) * |share right - mean confidence| (arXiv 1706.04599, equation 3).

    Args:
        confidence (`np.ndarray` of shape `(num_rows,)`): predicted probabilities in [0, 1].
        is_right (`np.ndarray` of shape `(num_rows,)`): whether what was predicted is true.

    Returns:
        `float`: 0 is best.
    """
    mean_confidence, share_right, counts = reliability(confidence, is_right)
    return float((counts * np.abs(share_right - mean_confidence)).sum() / len(confidence))
