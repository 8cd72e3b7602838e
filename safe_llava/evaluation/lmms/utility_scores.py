"""
What the samples of an lmms-eval run add up to, with standard errors.

lmms-eval gives no standard error for MMBench and SEED-Bench, one on the wrong scale for MME (of the rows' 0 or 1, but
the score runs to 2000), and the accuracy's for POPE's precision, recall and F1. So they are computed here from the
same samples, and on the way the figures are checked against lmms-eval's own.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...statistics import percentile_bootstrap


Units = dict[str, dict[Any, float]]
"""Stratum, unit, value. A figure is the sum over strata of the mean over units."""
MME_FIGURES = ("mme_perception_score", "mme_cognition_score")
POPE_RATIOS = ("pope_precision", "pope_recall", "pope_f1_score")
NO_FIGURES = frozenset({"submission", "pope_yes_ratio"})
"""MMBench's upload file, and a share that lmms-eval takes of POPE's truth and not of the answers."""


def right_answers(samples: Iterable[Mapping[str, Any]]) -> dict[int, bool] | None:
    """
    Whether each sample of MME, MMBench, SEED-Bench or POPE is right.

    Args:
        samples (`Iterable[Mapping]`): lines of an lmms-eval samples file.

    Returns:
        `dict[int, bool]`: by `doc_id`; `None` for other tasks.
    """
    rights = {sample["doc_id"]: _is_right(sample) for sample in samples}
    return None if None in rights.values() else {doc_id: bool(right) for doc_id, right in rights.items()}


def unit_values(samples: Iterable[Mapping[str, Any]]) -> dict[str, Units]:
    """
    The independent units of each figure that is a mean, and what each adds to it.

    Args:
        samples (`Iterable[Mapping]`): lines of an lmms-eval samples file.

    Returns:
        `dict`: for each figure a dictionary of strata, each of units and their values:

        - `mme_perception_score`, `mme_cognition_score`: a stratum for each category, a unit for each image; its
          value is 100 for half the share of its two questions that are right, and 100 more if both are;
        - `gpt_eval_score` (MMBench): a unit for each question, 100 if it is right in all its rotations;
        - `seed_all`, `seed_image`, `seed_video`, `pope_accuracy`: a unit for each question, 1 if it is right.

        Nothing for other figures.
    """
    rights: dict[str, dict[str, dict[Any, list[bool]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for sample in samples:
        right = _is_right(sample)
        for figure in sample:
            if figure in MME_FIGURES:
                stratum, unit = sample[figure]["category"], sample[figure]["question_id"]
            elif figure == "gpt_eval_score":
                stratum, unit = "all", sample[figure]["index"] % 1_000_000
            elif figure == "pope_accuracy" or figure.startswith("seed_"):
                stratum, unit = "all", sample["doc_id"]
            else:
                continue
            rights[figure][stratum][unit].append(bool(right))
    return {
        figure: {
            stratum: {unit: _value(figure, answers) for unit, answers in units.items()}
            for stratum, units in strata.items()
        }
        for figure, strata in rights.items()
    }


def sum_of_means(units: Units) -> tuple[float, float | None]:
    """
    A figure of units, and its standard error.

    Args:
        units (`dict`): of [`unit_values`].

    Returns:
        `tuple`: the figure, and its standard error, `None` where a stratum has one unit only.
    """
    columns = [np.array(list(values.values())) for values in units.values()]
    total = float(sum(column.mean() for column in columns))
    if min(map(len, columns)) < 2:
        return total, None
    return total, math.sqrt(sum(column.var(ddof=1) / len(column) for column in columns))


def difference(first: Units, second: Units) -> Units:
    """
    The difference of two models, unit by unit.

    Args:
        first, second (`dict`): of [`unit_values`], with the same units.

    Returns:
        `dict`: `first - second`. Its mean and standard error are those of the paired difference.
    """
    return {
        stratum: {unit: value - second[stratum][unit] for unit, value in units.items()}
        for stratum, units in first.items()
    }


def read_figures(results: Mapping[str, Any], task: str, samples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """
    The figures of one task.

    Args:
        results (`Mapping`): an lmms-eval results file.
        task (`str`): name of the task in it.
        samples (`Sequence[Mapping]`): lines of the task's samples file.

    Returns:
        `dict`: for each figure its `value` as lmms-eval gives it, `stderr` (`None` where unknown) and
        `higher_is_better`.

    Raises:
        ValueError: if the samples do not add up to lmms-eval's figure, or if there is no figure.
    """
    units = unit_values(samples)
    figures: dict[str, Any] = {}
    for key, value in results["results"][task].items():
        name, _, filter_name = key.partition(",")
        is_metric = name in results["higher_is_better"][task] and name not in NO_FIGURES
        if not is_metric or not _is_finite(value):
            continue
        stderr = results["results"][task].get(f"{name}_stderr,{filter_name}")
        if name in units:
            total, stderr = sum_of_means(units[name])
            if not math.isclose(total, value, rel_tol=1e-6, abs_tol=1e-9):
                raise ValueError(f"the samples add up to a {name} of {total}, and the results file says {value}")
        elif name in POPE_RATIOS:
            stderr = _ratio_stderr(name, [sample[name] for sample in samples])
        figures[name if filter_name == "none" else key] = {
            "value": float(value),
            "stderr": float(stderr) if _is_finite(stderr) else None,
            "higher_is_better": results["higher_is_better"][task][name],
        }
    if not figures:
        raise ValueError(f"the results file has no figure for {task}")
    return figures


def _is_finite(value: Any) -> bool:
    """lmms-eval writes "N/A" or NaN for what it could not compute."""
    return isinstance(value, int | float) and math.isfinite(value)


def _is_right(sample: Mapping[str, Any]) -> bool | None:
    for figure in (*MME_FIGURES, "pope_accuracy"):
        if figure in sample:
            return sample[figure]["score"] == 1.0
    if "seed_all" in sample:
        return sample["seed_all"]["pred"].strip().lower() == sample["seed_all"]["answer"].strip().lower()
    if "gpt_eval_score" in sample:
        return _is_right_choice(sample["gpt_eval_score"])
    return None


def _is_right_choice(item: Mapping[str, Any]) -> bool:
    """Whether MMBench's rules, without a judge, find the right letter in a prediction."""
    import pandas as pd
    from lmms_eval.tasks.mmbench.mmbench_evals import MMBench_Evaluator
    from loguru import logger

    logger.disable("lmms_eval")  # It remarks on every answer that holds the word A.
    row = pd.DataFrame([{**item, "prediction": str(item["prediction"])}])
    return MMBench_Evaluator().eval_sub_data(row, {item["index"]: item["answer"]}, static_only=True) == 1


def _value(figure: str, rights: Sequence[bool]) -> float:
    if figure in MME_FIGURES:
        return 100.0 * (sum(rights) / len(rights) + all(rights))
    return 100.0 * all(rights) if figure == "gpt_eval_score" else float(all(rights))


def _ratio_stderr(figure: str, rows: Sequence[Mapping[str, Any]]) -> float | None:
    """Standard error of POPE's precision, recall or F1, by the bootstrap over questions."""
    said = np.array([row["prediction"] == "yes" for row in rows])
    true = np.array([row["ground_truth"] == "yes" for row in rows])
    if len(rows) < 2 or not (said & true).any():
        return None

    def ratio(said: np.ndarray, true: np.ndarray, axis: int) -> np.ndarray:
        hits, calls, truths = (said & true).sum(axis), said.sum(axis), true.sum(axis)
        denominator = {"pope_precision": calls, "pope_recall": truths, "pope_f1_score": (calls + truths) / 2}[figure]
        return hits / np.maximum(denominator, 1)

    return float(percentile_bootstrap((said, true), ratio, num_resamples=1000, paired=True).standard_error)
