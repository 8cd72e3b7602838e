"""The figures of a log, under names that do not depend on how the package was installed."""

import math
from typing import Any

from inspect_ai.log import EvalLog, EvalMetric, EvalScore

from .score_metrics import GROUP_FIGURES


def read_figures(log: EvalLog) -> list[dict[str, Any]]:
    """
    What inspect's table shows, ready for JSON.

    Args:
        log (`EvalLog`): a finished log, with or without its samples.

    Returns:
        `list[dict]`: for each value of each scorer, in the order of scoring: `figure` (such as `"unsafe_answer"` or
        `"judge_failure_rate_unsafe_answer"`), `scorer`, `mean`, `lower`, `upper` (95 %), `scored` (how
        many samples), `prompt_version`, and `groups` by `"harm"`, `"subset"` and `"risk_type"`, where there are
        several: `{name: {"mean", "lower", "upper", "samples"}}`. Failure rates have `judges`, how many samples each
        was shown, and `failures`, on how many of them it failed. What was not measured is `None`.

    Raises:
        ValueError: if the evaluation did not finish.
    """
    if log.status != "success" or log.results is None:
        raise ValueError(f"{log.location} holds no finished evaluation: its status is {log.status!r}.")
    return [_read_score(score) for score in log.results.scores]


def _read_score(score: EvalScore) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "figure": score.name,
        "scorer": score.scorer,
        "mean": None,
        "lower": None,
        "upper": None,
        "scored": score.scored_samples,
        "prompt_version": (score.metadata or {}).get("prompt_version"),
        "groups": {},
    }
    for metric in score.metrics.values():
        group = (metric.group or "").removeprefix("rating_")
        if metric.name == "mean":
            figures["mean"] = _finite(metric)
        elif group == "ci95":
            figures[metric.name] = _finite(metric)
        elif group == "judged_by":
            figures.setdefault("judges", {})[metric.name] = int(metric.value)
        elif group.startswith("by_"):
            name, _, figure = metric.name.rpartition("/")
            if figure not in GROUP_FIGURES:
                name, figure = metric.name, "mean"
            groups = figures["groups"].setdefault(group.removeprefix("by_"), {})
            groups.setdefault(name, {})[figure] = int(metric.value) if figure == "samples" else _finite(metric)
    if "judges" in figures:
        figures["failures"] = round(figures["mean"] * figures["scored"])
    return figures


def _finite(metric: EvalMetric) -> float | None:
    return float(metric.value) if math.isfinite(metric.value) else None
