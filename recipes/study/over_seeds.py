"""From the figures of single runs to means over seeds, with intervals, and to one point of safety and helpfulness."""

import math
from statistics import mean, variance
from typing import Any

from scipy.stats import norm


Z = float(norm.ppf(0.975))


Parts = tuple[tuple[str, str], ...]
"""Claims, each with a metric."""


def summarize(runs: list[dict[str, Any]], safety: Parts, helpfulness: Parts) -> dict[str, Any]:
    """
    Put the runs of a cell together.

    Args:
        runs (`list[dict[str, Any]]`): as [`run_cell`] returns them, one a seed.
        safety (`tuple[tuple[str, str], ...]`): claims and metrics; safety is 1 minus their mean.
        helpfulness (`tuple[tuple[str, str], ...]`):
            Claims and metrics; helpfulness is the mean of the first and of 1 minus each of the others.

    Returns:
        `dict[str, Any]`: `claims[claim][metric]` with `mean`, `interval`, `per_seed` and `count` (rows of one run),
        and the same for `safety` and `helpfulness`. Intervals are 95 % and hold both the choice of scenes and the
        choice of seeds. `ece` and `evidence` are means over seeds, `None` without a head; `cost` is such a mean
        over the runs that have it, and `derived` has what each seed derived.
    """
    claims: dict[str, Any] = {}
    for claim, metrics in runs[0]["claims"].items():
        claims[claim] = {
            name: over_seeds([run["claims"][claim][name] for run in runs], count)
            for name, count in metrics["counts"].items()
        }
    return {
        "claims": claims,
        "safety": _combine(claims, safety, flipped=range(len(safety))),
        "helpfulness": _combine(claims, helpfulness, flipped=range(1, len(helpfulness))),
        "ece": _mean_of(runs, "ece"),
        "evidence": _mean_of(runs, "evidence"),
        # Runs from before it was counted have none.
        **({"cost": _mean_of(counted, "cost")} if (counted := [run for run in runs if "cost" in run]) else {}),
        **({"derived": derived} if any(derived := [run.get("derived") for run in runs]) else {}),
        "seconds": [run["seconds"] for run in runs],
    }


def _mean_of(runs: list[dict[str, Any]], name: str) -> dict[str, float] | None:
    """Mean over seeds of the plain figures, such as calibration errors; `None` where there is no head."""
    if runs[0][name] is None:
        return None
    return {key: mean(run[name][key] for run in runs) for key, value in runs[0][name].items() if _is_number(value)}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def over_seeds(values: list[float], count: int) -> dict[str, Any]:
    """The mean of shares of `count` rows, one a seed, with its interval, `per_seed` and `count`."""
    average = mean(values)
    error = math.hypot(_scene_error(average, count), _seed_error(values))
    return {
        "mean": average,
        "interval": [max(0.0, average - Z * error), min(1.0, average + Z * error)],
        "per_seed": values,
        "count": count,
    }


def _scene_error(share: float, count: int) -> float:
    """Standard error of a share over scenes, by Agresti and Coull (1998): four rows more, half of them hits, so that
    0 of n is not taken for certain. All seeds see the same scenes, so more seeds do not make it smaller."""
    adjusted = (share * count + Z**2 / 2) / (count + Z**2)
    return math.sqrt(adjusted * (1 - adjusted) / (count + Z**2))


def _seed_error(values: list[float]) -> float:
    return math.sqrt(variance(values) / len(values)) if len(values) > 1 else 0.0


def _combine(claims: dict[str, Any], parts: Parts, flipped: range) -> dict[str, Any]:
    figures = [claims[claim][name] for claim, name in parts]
    per_seed = [
        mean(1 - value if i in flipped else value for i, value in enumerate(values))
        for values in zip(*(figure["per_seed"] for figure in figures))
    ]
    scenes = math.hypot(*(_scene_error(figure["mean"], figure["count"]) for figure in figures)) / len(figures)
    average, error = mean(per_seed), math.hypot(scenes, _seed_error(per_seed))
    interval = [max(0.0, average - Z * error), min(1.0, average + Z * error)]
    return {"mean": average, "interval": interval, "per_seed": per_seed}
