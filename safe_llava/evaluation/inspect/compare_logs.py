"""Two logs of the same questions side by side: figures, paired differences, judge failures, cost and verdicts."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from inspect_ai.log import EvalLog, EvalSample, read_eval_log_samples

from ...statistics import area_under_roc, mean_interval, wilson_interval
from .log_figures import read_figures


@dataclass(frozen=True)
class Headline:
    """
    A figure that stands in the table.

    Args:
        figure (`str`): the scorer's value.
        harm (`"harmful"` or `"harmless"`): the rows it is taken over.
        label (`str`): its name in the table.
        higher_is_better (`bool`, *optional*): `None` where that is a matter of taste.
        is_share (`bool`, *optional*, defaults to `True`): whether it is a share of the rows.
    """

    figure: str
    harm: str
    label: str
    higher_is_better: bool | None
    is_share: bool = True


HEADLINES = (
    Headline("unsafe_answer", "harmful", "unsafe answers", False),
    Headline("safety_rating", "harmful", "safety rating, 0 to 10", True, is_share=False),
    Headline("full_refusal", "harmful", "refused, harmful", None),
    Headline("full_refusal", "harmless", "refused, harmless", False),
    Headline("full_compliance", "harmless", "complied, harmless", True),
    Headline("keyword_refusal_smoke", "harmful", "stock phrase, harmful (smoke)", None),
    Headline("keyword_refusal_smoke", "harmless", "stock phrase, harmless (smoke)", None),
)
FAILURE_RATE = "judge_failure_rate_"


@dataclass(frozen=True)
class Row:
    """
    What one log says of one row.

    Args:
        harm (`"harmful"` or `"harmless"`): whether a safe model should decline.
        values (`dict[str, float]`): what the scorers gave, without those that are NaN.
        input_tokens, output_tokens (`int`), seconds (`float`): of the answer.
        vision_passes (`float`, *optional*): of the vision tower on each image; `None` without an image.
        verdict (`dict`, *optional*), decision (`dict`, *optional*): the head's and the policy's.
    """

    harm: str
    values: dict[str, float]
    input_tokens: int
    output_tokens: int
    seconds: float
    vision_passes: float | None
    verdict: dict[str, Any] | None
    decision: dict[str, Any] | None


def compare_logs(model: EvalLog, base: EvalLog) -> dict[str, Any]:
    """
    What the table and the card say of one benchmark.

    Args:
        model, base (`EvalLog`): finished logs of the same task.

    Returns:
        `dict`:

        - `figures`: for each of `HEADLINES` that was scored, its fields; `model` and `base`, each with `value`,
          `interval` (95 %: Wilson's for shares, bootstrap for ratings) and `rows`; and `difference`, model minus base
          over the rows that are scored in both, with its paired bootstrap interval;
        - `judge_failures`: for each judged scorer, for `model` and `base`, `failures` among `asked` and the `judges`;
        - `cost`: for `model` and `base` `rows`, `seconds`, `input_tokens`, `output_tokens` and `vision_passes` (a
          mean over rows with images);
        - `verdicts`: the model's, see [`summarize_verdicts`]; `None` without a head;
        - `all_figures`: for `model` and `base` [`read_figures`] of the log, with subsets and risk types;
        - `settings`: benchmark, split, seed, digest of the rows and versions;
        - `logs`: where they are.

    Raises:
        ValueError: if the logs are of different rows.
    """
    logs = {"model": model, "base": base}
    rows = {label: _read_rows(log) for label, log in logs.items()}
    if rows["model"].keys() != rows["base"].keys():
        raise ValueError(f"{model.location} and {base.location} are of different rows: evaluate both again.")
    ids = list(rows["model"])
    pairs = [(rows["model"][row_id], rows["base"][row_id]) for row_id in ids]
    all_figures = {label: read_figures(log) for label, log in logs.items()}
    return {
        "figures": [figure for headline in HEADLINES if (figure := _compare(headline, pairs))],
        "judge_failures": {label: _judge_failures(figures) for label, figures in all_figures.items()},
        "cost": {label: _cost(list(found.values())) for label, found in rows.items()},
        "verdicts": summarize_verdicts(list(rows["model"].values())),
        "all_figures": all_figures,
        "settings": model.eval.metadata,
        "logs": {label: log.location for label, log in logs.items()},
    }


def summarize_verdicts(rows: Sequence[Row]) -> dict[str, Any] | None:
    """
    The head as a classifier of rows that should be declined.

    Args:
        rows (`Sequence[Row]`): of a model.

    Returns:
        `dict`: `rows` with a verdict, `untrusted` ones among them, `flagged_harmful` and `flagged_harmless`, the
        shares on which the policy acted (`None` where it is off), and `auroc` of the probability of any risk. `None`
        where no row has a verdict.
    """
    classified = [row for row in rows if row.verdict is not None]
    if not classified:
        return None
    trusted = [row for row in classified if row.verdict and row.verdict["trusted"]]
    is_harmful = np.array([row.harm == "harmful" for row in trusted])
    risks = np.array([1 - row.verdict["level_probs"]["none"] for row in trusted if row.verdict])
    return {
        "rows": len(classified),
        "untrusted": len(classified) - len(trusted),
        **{
            f"flagged_{harm}": _flagged([row for row in classified if row.harm == harm])
            for harm in ("harmful", "harmless")
        },
        "auroc": area_under_roc(is_harmful, risks),
    }


def _flagged(rows: Sequence[Row]) -> float | None:
    decided = [row.decision["action"] != "answer" for row in rows if row.decision is not None]
    return fmean(decided) if decided else None


def _read_rows(log: EvalLog) -> dict[str, Row]:
    """One sample in memory at a time: they hold their images."""
    return {str(sample.id): _to_row(sample) for sample in read_eval_log_samples(log.location)}


def _to_row(sample: EvalSample) -> Row:
    output, metadata = sample.output, sample.output.metadata or {}
    has_image = metadata["vision_passes"] > 0
    return Row(
        harm=sample.metadata["harm"],
        values=dict(_scored(sample)),
        input_tokens=output.usage.input_tokens if output.usage else 0,
        output_tokens=output.usage.output_tokens if output.usage else 0,
        seconds=metadata["seconds"],
        vision_passes=metadata["vision_passes"] if has_image else None,
        verdict=metadata["safety_verdict"],
        decision=metadata["safety_decision"],
    )


def _scored(sample: EvalSample) -> Iterator[tuple[str, float]]:
    for score in (sample.scores or {}).values():
        for name, value in score.value.items() if isinstance(score.value, dict) else ():
            if isinstance(value, int | float) and math.isfinite(value):
                yield name, float(value)


def _compare(headline: Headline, pairs: Sequence[tuple[Row, Row]]) -> dict[str, Any] | None:
    wanted = [pair for pair in pairs if pair[0].harm == headline.harm]
    columns = {
        label: [row.values[headline.figure] for pair in wanted if headline.figure in (row := pair[place]).values]
        for place, label in enumerate(("model", "base"))
    }
    if not all(columns.values()):
        return None
    both = [
        ours.values[headline.figure] - theirs.values[headline.figure]
        for ours, theirs in wanted
        if headline.figure in ours.values and headline.figure in theirs.values
    ]
    return {
        **vars(headline),
        **{label: _mean(values, headline.is_share) for label, values in columns.items()},
        "difference": {"value": fmean(both), "interval": mean_interval(both), "rows": len(both)} if both else None,
    }


def _mean(values: Sequence[float], is_share: bool) -> dict[str, Any]:
    interval = wilson_interval([value == 1 for value in values]) if is_share else mean_interval(values)
    return {"value": fmean(values), "interval": interval, "rows": len(values)}


def _judge_failures(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        figure["figure"].removeprefix(FAILURE_RATE): {
            "failures": figure["failures"],
            "asked": figure["scored"],
            "judges": figure["judges"],
        }
        for figure in figures
        if figure["figure"].startswith(FAILURE_RATE)
    }


def _cost(rows: Sequence[Row]) -> dict[str, Any]:
    passes = [row.vision_passes for row in rows if row.vision_passes is not None]
    return {
        "rows": len(rows),
        "seconds": sum(row.seconds for row in rows),
        "input_tokens": sum(row.input_tokens for row in rows),
        "output_tokens": sum(row.output_tokens for row in rows),
        "vision_passes": fmean(passes) if passes else None,
    }
