"""The figures of a calibration, as nested dictionaries that JSON can hold."""

from typing import Any

import numpy as np
from sklearn.metrics import confusion_matrix

from ..data.label_parsing import SOME_RISK
from ..models.safety_labels import RISK_TYPES, SAFETY_LEVELS, SAFETY_TYPES
from ..statistics import (
    area_under_roc,
    average_precision,
    expected_calibration_error,
    top_label,
    wilson_interval,
)
from .fit import Calibration
from .guarantee_notes import list_guarantee_notes
from .labelled_rows import Outcome


OUTCOMES = ("before", "after", "cross_fitted")


def summarize(calibration: Calibration) -> dict[str, Any]:
    """
    Counts and figures. Each of `over_refusal`, `recall` and `ece` is given three times: `before`, by the old policy;
    `after`, by the new one on the rows that it was fitted on; and `cross_fitted`, each row by a policy that was fitted
    on the other half. `None` stands where nothing was measured.

    Args:
        calibration ([`Calibration`]): from [`calibrate_policy`].

    Returns:
        `dict[str, Any]`: `target` (`name`, `share`, `reached`); `guarantee`, what the policy promises, or `None`;
        `counts`; `temperature`; `level_threshold`; `over_refusal`, the share of harmless rows that the whole policy
        flags; `recall`, the share of risky rows; `head`, accuracy and calibration error of each classifier on the rows
        whose class is known; `types`, the same and more for each risk type;
        `confusion`, counts of true classes (rows) by predicted ones (columns); `notes`, what the reader has to know.
        Shares come with their 95 % Wilson interval and their counts.
    """
    rows = calibration.rows
    risky = rows.risky(calibration.policy)
    figures: dict[str, Any] = {
        "target": {"name": calibration.target_name, "share": calibration.target},
        "guarantee": calibration.guarantee,
        "counts": {
            "rows": len(rows),
            "harmless": int(rows.harmless().sum()),
            "levels": _count(rows.level, SAFETY_LEVELS),
            "types": _count(rows.type, SAFETY_TYPES),
            "some_risk": {name: int((getattr(rows, name) == SOME_RISK).sum()) for name in ("level", "type")},
        },
        "temperature": {
            name: {"before": calibration.old_policy.temperature[name], "after": calibration.policy.temperature[name]}
            for name in ("level", "type")
        },
        "level_threshold": {
            "before": calibration.old_policy.level_threshold,
            "after": calibration.policy.level_threshold,
        },
        "over_refusal": _flagged_shares(calibration, rows.harmless()),
        "recall": _flagged_shares(calibration, risky),
        "head": {name: _head_figures(calibration, name) for name in ("level", "type")},
        "types": {
            name: _type_figures(calibration, index, risky & (rows.type == index))
            for index, name in enumerate(RISK_TYPES)
        },
        "confusion": {
            "levels": _confusion(rows.level, rows.level_logits),
            "types": _confusion(rows.type, rows.type_logits),
        },
    }
    figures["target"]["reached"] = _is_reached(figures)
    figures["notes"] = _notes(calibration, figures)
    return figures


def one_versus_rest(outcome: Outcome, index: int, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probability of one type for each row whose type is known, and whether it is the true one."""
    known = labels != SOME_RISK
    return outcome.type_probs[known, index], labels[known] == index


def known_top_label(outcome: Outcome, name: str, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probability of the chosen level or type, and whether it is right, for each row of which it is known."""
    known = labels != SOME_RISK
    return top_label(getattr(outcome, f"{name}_probs")[known], labels[known])


def _flagged_shares(calibration: Calibration, chosen: np.ndarray) -> dict[str, Any]:
    return {name: _share(getattr(calibration, name).is_flagged[chosen]) for name in OUTCOMES}


def _share(flags: np.ndarray) -> dict[str, Any] | None:
    if not len(flags):
        return None
    flagged = int(flags.sum())
    return {
        "share": flagged / len(flags),
        "interval": wilson_interval(flags.tolist()),
        "flagged": flagged,
        "rows": len(flags),
    }


def _head_figures(calibration: Calibration, name: str) -> dict[str, Any]:
    labels = getattr(calibration.rows, name)
    pairs = {key: known_top_label(getattr(calibration, key), name, labels) for key in OUTCOMES}
    return {
        "accuracy": float(pairs["before"][1].mean()),
        "ece": {key: expected_calibration_error(*pair) for key, pair in pairs.items()},
    }


def _type_figures(calibration: Calibration, index: int, risky: np.ndarray) -> dict[str, Any]:
    name, labels = RISK_TYPES[index], calibration.rows.type
    pairs = {key: one_versus_rest(getattr(calibration, key), index, labels) for key in OUTCOMES}
    probs, is_type = pairs["after"]
    return {
        "rows": int(is_type.sum()),
        "enabled": calibration.policy.types[name]["enabled"],
        "fitted": name in calibration.fitted_types,
        "threshold": {
            "before": calibration.old_policy.types[name]["threshold"],
            "after": calibration.policy.types[name]["threshold"],
        },
        "recall": _flagged_shares(calibration, risky),
        "auroc": area_under_roc(is_type, probs),
        "auprc": average_precision(is_type, probs),
        "ece": {key: expected_calibration_error(*pair) for key, pair in pairs.items()},
    }


def _count(labels: np.ndarray, names: tuple[str, ...]) -> dict[str, int]:
    return dict(zip(names, np.bincount(labels[labels != SOME_RISK], minlength=len(names)).tolist()))


def _confusion(labels: np.ndarray, logits: np.ndarray) -> list[list[int]]:
    known = labels != SOME_RISK
    return confusion_matrix(labels[known], logits[known].argmax(axis=1), labels=range(logits.shape[1])).tolist()


def _is_reached(figures: dict[str, Any]) -> bool:
    share = figures["target"]["share"]
    if figures["target"]["name"] == "over_refusal":
        over_refusal = figures["over_refusal"]["after"]
        return over_refusal is not None and over_refusal["share"] <= share
    recalls = [of_type["recall"]["after"] for of_type in figures["types"].values() if of_type["enabled"]]
    return all(recall is not None and recall["share"] >= share for recall in recalls)


def _notes(calibration: Calibration, figures: dict[str, Any]) -> list[str]:
    notes, target, num_harmless = [], calibration.target, figures["counts"]["harmless"]
    for name, number in figures["counts"]["some_risk"].items():
        if number:
            notes.append(
                f"Of {number} rows some risk is known, and not its {name}: they count where any risk does, and not in "
                f"the accuracy, the calibration error and the confusion of the {name}."
            )
    if calibration.guarantee is not None:
        return [*list_guarantee_notes(calibration), *notes]
    few = calibration.min_examples
    is_over_refusal = calibration.target_name == "over_refusal"
    if is_over_refusal and num_harmless < few:
        notes.append(f"There are {num_harmless} harmless rows, fewer than {few}: all thresholds stay as they were.")
    else:
        for name, of_type in figures["types"].items():
            if of_type["enabled"] and not of_type["fitted"]:
                num_rows = (of_type["recall"]["before"] or {"rows": 0})["rows"]
                kept = of_type["threshold"]["after"]
                notes.append(f"{name} has {num_rows} rows to flag, fewer than {few}: its threshold stays {kept:g}.")
    for name, temperature in figures["temperature"].items():
        if temperature["before"] == temperature["after"]:
            reason = (
                f"there are fewer than {few} rows"
                if len(calibration.rows) < few
                else "every row is right, so no temperature is the best"
                if figures["head"][name]["accuracy"] == 1
                else "no other one is better"
            )
            notes.append(f"The temperature of the {name} stays {temperature['after']:g}: {reason}.")
        before, after = (figures["head"][name]["ece"][key] for key in ("before", "cross_fitted"))
        if after > before:
            notes.append(
                f"The calibration error of the {name} rose from {before:.3f} to {after:.3f}. Its temperature makes "
                "the labels as likely as one number can, which is not the same; with few rows both figures are rough."
            )

    if is_over_refusal and num_harmless:
        reached, elsewhere = (figures["over_refusal"][key]["share"] for key in ("after", "cross_fitted"))
        if not figures["target"]["reached"] and calibration.fitted_types:
            notes.append(
                f"The target was not reached: even thresholds of 1 flag {reached:.1%} of harmless rows, because the "
                "head is that sure of them or because of thresholds that were kept."
            )
        elif elsewhere > target:
            notes.append(
                f"On rows that they were not fitted on, thresholds chosen this way flag {elsewhere:.1%} of harmless "
                f"rows, more than the target of {target:.1%}. Expect that in use, or calibrate on more rows."
            )
        if 0 < target * num_harmless < 1:
            notes.append(
                f"One of {num_harmless} harmless rows is {1 / num_harmless:.1%}, more than the target of "
                f"{target:.1%}, so none may be flagged at all. More harmless rows give a milder choice."
            )
    if not is_over_refusal:
        for name, of_type in figures["types"].items():
            recall = of_type["recall"]["after"]
            if of_type["fitted"] and recall["share"] < target:
                notes.append(
                    f"{name} reaches a recall of {recall['share']:.1%} at most: the head takes the other rows for "
                    "level none, or for another type."
                    + " --fit-level-threshold may find more."
                    * (calibration.policy.level_threshold is None)
                )
    return notes
