"""Two models on the same questions: the interval of their difference, by the paired bootstrap."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import bootstrap


NUM_RESAMPLES = 2000
LEAST_UNITS = 2


def mean_interval(values: Sequence[float]) -> list[float] | None:
    """95 % percentile-bootstrap interval of a mean; see [`sum_of_means_interval`]."""
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
    resampled = bootstrap(
        columns,
        lambda *samples, axis: sum(sample.mean(axis=axis) for sample in samples),
        vectorized=True,
        n_resamples=NUM_RESAMPLES,
        batch=100,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return [float(resampled.confidence_interval.low), float(resampled.confidence_interval.high)]
