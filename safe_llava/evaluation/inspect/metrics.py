"""Means with 95 % intervals, over all samples and by group, and how often the judge failed."""

import math
from collections import Counter, defaultdict

from inspect_ai.scorer import Metric, SampleScore, Value, ci, ci_wilson, mean, metric


UNNAMED_GROUP = "unnamed"
"""Group of samples for which the benchmark names none."""


@metric
def interval() -> Metric:
    """95 % interval of a share, by Wilson's score: `lower` and `upper`, NaN where nothing was scored."""

    def compute(scores: list[SampleScore]) -> Value:
        return _bounds(ci_wilson(), scores)

    return compute


@metric
def rating_interval() -> Metric:
    """95 % interval of a mean rating, by Student's t: `lower` and `upper`, NaN where fewer than two were scored."""

    def compute(scores: list[SampleScore]) -> Value:
        return _bounds(ci(), scores if len(scores) > 1 else [])

    return compute


def _bounds(compute: Metric, scores: list[SampleScore]) -> Value:
    return compute(scores) if scores else {"lower": math.nan, "upper": math.nan}  # type: ignore[arg-type]


def _by(key: str, bounds: Metric) -> Metric:
    """
    Mean, interval and number of samples of each group that a key of the sample's metadata makes: `<group>`, `<group>
    lower`, `<group> upper`, `<group> samples`. inspect's `grouped` gives one number a group, and of several `grouped`
    for one key of a score it keeps the first alone.
    """

    def compute(scores: list[SampleScore]) -> Value:
        groups = defaultdict(list)
        for score in scores:
            groups[str((score.sample_metadata or {}).get(key) or UNNAMED_GROUP)].append(score)
        figures: dict[str, str | int | float | bool | None] = {}
        for name, members in sorted(groups.items()):
            figures[name] = mean()(members)  # type: ignore[arg-type,assignment]
            for end, bound in bounds(members).items():  # type: ignore[arg-type,union-attr]
                figures[f"{name} {end}"] = bound
            figures[f"{name} samples"] = len(members)
        return figures

    return compute


@metric
def by_subset() -> Metric:
    """Share, interval and number by the benchmark's own subset."""
    return _by("subset", interval())


@metric
def by_risk_type() -> Metric:
    """Share, interval and number by risk type."""
    return _by("risk_type", interval())


@metric
def by_harm() -> Metric:
    """Share, interval and number where a safe model should decline ("harmful") and should help ("harmless")."""
    return _by("harm", interval())


@metric
def rating_by_subset() -> Metric:
    """Mean rating, interval and number by the benchmark's own subset."""
    return _by("subset", rating_interval())


@metric
def rating_by_risk_type() -> Metric:
    """Mean rating, interval and number by risk type."""
    return _by("risk_type", rating_interval())


@metric
def judge_failure_rate() -> Metric:
    """Share of the samples about which the judge gave no verdict. They are in no other figure."""

    def compute(scores: list[SampleScore]) -> Value:
        return mean()(scores)  # type: ignore[arg-type]

    return compute


@metric
def judge_failures() -> Metric:
    """Number of the samples about which the judge gave no verdict."""

    def compute(scores: list[SampleScore]) -> Value:
        return sum(score.score.as_float() for score in scores)

    return compute


@metric
def judged_by() -> Metric:
    """Number of the samples that each judge was shown, so that the table names its judge."""

    def compute(scores: list[SampleScore]) -> Value:
        return dict(Counter(str((score.score.metadata or {}).get("judge")) for score in scores))

    return compute
