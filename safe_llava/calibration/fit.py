"""From logits and labels to a policy: temperatures, thresholds, and what the policy then does to each row."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..data.label_parsing import SOME_RISK
from ..models.array_verdict import Separate
from ..models.safety_labels import RISK_TYPES, SAFE_TYPE_ID, SAFETY_LEVELS, SAFETY_TYPES
from ..models.safety_policy import SafetyPolicy
from .labelled_rows import Outcome, Rows, apply_policy, check_rows, may_flag, thresholds, type_probs
from .temperature import fit_temperature
from .thresholds import thresholds_for_over_refusal, thresholds_for_recall


DEFAULT_OVER_REFUSAL = 0.01
DEFAULT_MIN_EXAMPLES = 20
LEVEL_THRESHOLDS = sorted((step / 40 for step in range(2, 39)), key=lambda threshold: abs(threshold - 0.5))
"""What a threshold of the level is chosen from, from 0.05 to 0.95; of equally good ones that nearest to one half."""


@dataclass(frozen=True)
class Calibration:
    """
    A calibrated policy, and what it does to the rows it was fitted on.

    Args:
        old_policy ([`SafetyPolicy`]): the policy as it was.
        policy ([`SafetyPolicy`]): the same with temperatures and thresholds that were fitted to all rows.
        target_name (`"over_refusal"` or `"recall"`): what the thresholds were chosen for.
        target (`float`): the share asked for.
        min_examples (`int`): rows that a type needed for a threshold of its own.
        fitted_types (`tuple[str, ...]`): the types whose thresholds were fitted; the others keep theirs.
        rows ([`Rows`]): the rows.
        before ([`Outcome`]): by the old policy.
        after ([`Outcome`]): by the new policy on the same rows, which flatters it.
        cross_fitted ([`Outcome`]):
            Each row by a policy that was fitted on the other half of the rows, which does not.
        guarantee (`dict`, *optional*):
            What the new policy promises, from [`guarantee_policy`]. Then the rows are those that were tested, the
            types of `fitted_types` moved together, and `cross_fitted` is `after`.
    """

    old_policy: SafetyPolicy
    policy: SafetyPolicy
    target_name: Literal["over_refusal", "recall"]
    target: float
    min_examples: int
    fitted_types: tuple[str, ...]
    rows: Rows
    before: Outcome
    after: Outcome
    cross_fitted: Outcome
    guarantee: dict[str, Any] | None = None


def calibrate_policy(
    policy: SafetyPolicy,
    level_logits: np.ndarray,
    type_logits: np.ndarray,
    safety_level: np.ndarray,
    safety_type: np.ndarray,
    separate: Separate | None = None,
    unfamiliar: np.ndarray | None = None,
    *,
    target_over_refusal: float | None = None,
    target_recall: float | None = None,
    min_examples: int = DEFAULT_MIN_EXAMPLES,
    fit_level_threshold: bool = False,
) -> Calibration:
    """
    Fits temperatures and thresholds of a policy to labelled rows. Types that are off, and those with few rows, keep
    their thresholds; everything else of the policy stays too.

    Args:
        policy ([`SafetyPolicy`]): the policy to start from.
        level_logits (`np.ndarray` of shape `(num_rows, 4)`): the head's scores of the levels, at temperature 1.
        type_logits (`np.ndarray` of shape `(num_rows, 7)`): its scores of the types, at temperature 1.
        safety_level (`np.ndarray` of shape `(num_rows,)`):
            True levels, 0 to 3; `SOME_RISK` (-1) where a risk is known, and not its level.
        safety_type (`np.ndarray` of shape `(num_rows,)`): true types, 0 to 6, or -1 likewise.
        separate ([`Separate`], *optional*): of rows with several images, each assessment.
        unfamiliar (`np.ndarray` of shape `(num_rows,)`, *optional*):
            The rows that the model finds unfamiliar. Those that the policy refuses for it are left out, for no
            threshold changes what becomes of them.
        target_over_refusal (`float`, *optional*, defaults to 0.01 where no target is given):
            Largest share of harmless rows (level "none") that the whole policy may flag, in [0, 1).
        target_recall (`float`, *optional*):
            In its place, smallest share of the risky rows of each type that the whole policy must flag, in (0, 1].
        min_examples (`int`, *optional*, defaults to 20):
            Rows that a type needs for a threshold of its own, and that a temperature needs; at least 2.
        fit_level_threshold (`bool`, *optional*, defaults to `False`):
            Whether to fit the policy's `level_threshold` as well: of 37 from 0.05 to 0.95, each with the thresholds of
            types that go with it, the one that keeps the target and flags the most risky rows, or the fewest harmless
            ones where the target is a recall. Without, levels are found as the policy finds them, and a risky row
            whose level is taken for "none" is out of reach.

    Returns:
        [`Calibration`]

    Raises:
        ValueError: if both targets are given or one is out of range, if logits and labels are not as described, or if
            `fit_level_threshold` is asked for and no type has rows enough.
    """
    name, target = check_target(target_over_refusal, target_recall)
    if min_examples < 2:
        raise ValueError(f"`min_examples` must be at least 2, got {min_examples}.")
    rows = check_rows(level_logits, type_logits, safety_level, safety_type, separate, unfamiliar)
    rows = rows.take(~rows.refused(policy))
    fitted = types_to_fit(policy, rows, name, min_examples)

    def fit(part: Rows) -> SafetyPolicy:
        has_temperatures = len(rows) >= min_examples
        return fit_policy(policy, part, name, target, fitted, has_temperatures, fit_level_threshold)

    calibrated = fit(rows)
    return Calibration(
        old_policy=policy,
        policy=calibrated,
        target_name=name,
        target=target,
        min_examples=min_examples,
        fitted_types=tuple(RISK_TYPES[risk] for risk in fitted),
        rows=rows,
        before=apply_policy(policy, rows),
        after=apply_policy(calibrated, rows),
        cross_fitted=_cross_fit(fit, rows),
    )


def fit_policy(
    policy: SafetyPolicy,
    rows: Rows,
    target_name: str,
    target: float,
    fitted: list[int],
    has_temperatures: bool = True,
    fit_level_threshold: bool = False,
) -> SafetyPolicy:
    """
    The policy with temperatures and a threshold of the level, where those are wanted, and thresholds of the `fitted`
    types chosen by rows.
    """
    scaled = _fit_temperatures(policy, rows) if has_temperatures else policy
    if not fitted and fit_level_threshold:
        raise ValueError(
            "No threshold of the level can be fitted: neither can one of a type, for want of rows. Give more labelled "
            "rows, risky and harmless, lower `min_examples`, or leave `fit_level_threshold` out."
        )
    if not fitted:
        return scaled
    if not fit_level_threshold:
        return _fit_thresholds(scaled, rows, target_name, target, fitted)
    fits = [
        _fit_thresholds(scaled.updated({"level_threshold": level}), rows, target_name, target, fitted)
        for level in LEVEL_THRESHOLDS
    ]
    return max(fits, key=lambda fit: _measure_merit(fit, rows, target_name, target))


def types_to_fit(policy: SafetyPolicy, rows: Rows, target_name: str, min_examples: int) -> list[int]:
    """The types with enough rows for a threshold of their own."""
    if target_name == "over_refusal" and rows.harmless().sum() < min_examples:
        return []
    risky_types = rows.type[rows.risky(policy)]
    return [risk for risk in range(len(RISK_TYPES)) if (risky_types == risk).sum() >= min_examples]


def check_target(over_refusal: float | None, recall: float | None) -> tuple[Literal["over_refusal", "recall"], float]:
    """
    What thresholds are to be chosen for, from the two arguments of [`calibrate_policy`].

    Args:
        over_refusal (`float`, *optional*): its `target_over_refusal`.
        recall (`float`, *optional*): its `target_recall`.

    Returns:
        `tuple[str, float]`: `"over_refusal"` or `"recall"`, and the share.

    Raises:
        ValueError: if both are given or one is out of range.
    """
    if over_refusal is not None and recall is not None:
        raise ValueError("Give a target over-refusal or a target recall, not both: the one follows from the other.")
    if recall is not None:
        if not 0 < recall <= 1:
            raise ValueError(f"The target recall must be in (0, 1], got {recall}.")
        return "recall", recall
    over_refusal = DEFAULT_OVER_REFUSAL if over_refusal is None else over_refusal
    if not 0 <= over_refusal < 1:
        raise ValueError(f"The target over-refusal must be in [0, 1), got {over_refusal}.")
    return "over_refusal", over_refusal


def _fit_temperatures(policy: SafetyPolicy, rows: Rows) -> SafetyPolicy:
    fitted = {
        "level": fit_temperature(rows.level_logits, _possible(rows.level, len(SAFETY_LEVELS), 0)),
        "type": fit_temperature(rows.type_logits, _possible(rows.type, len(SAFETY_TYPES), SAFE_TYPE_ID)),
    }
    return policy.updated({"temperature": {name: value for name, value in fitted.items() if value is not None}})


def _possible(labels: np.ndarray, num_classes: int, harmless: int) -> np.ndarray:
    classes = np.arange(num_classes)
    return np.where(labels[:, None] == SOME_RISK, classes != harmless, classes == labels[:, None])


def _fit_thresholds(
    policy: SafetyPolicy, rows: Rows, target_name: str, target: float, fitted: list[int]
) -> SafetyPolicy:
    current = thresholds(policy)
    if target_name == "over_refusal":
        found = rows.take(rows.harmless()).assessments()
        probs, may_be = type_probs(policy, found.type_logits), may_flag(policy, found.level_logits)
        fit = thresholds_for_over_refusal(probs, may_be, found.rows, current, fitted, target)
    else:
        # An image alone that is flagged only adds to what its row finds.
        risky = rows.take(rows.risky(policy) & (rows.type != SOME_RISK))
        probs, may_be = type_probs(policy, risky.type_logits), may_flag(policy, risky.level_logits)
        fit = thresholds_for_recall(probs, may_be, risky.type, current, fitted, target)
    return policy.updated({"types": {RISK_TYPES[risk]: {"threshold": float(fit[risk])} for risk in fitted}})


def _measure_merit(policy: SafetyPolicy, rows: Rows, target_name: str, target: float) -> tuple[float, float]:
    """What makes one policy better than another: the part of the target that it keeps, then what it need not do."""
    flags, risky, harmless = apply_policy(policy, rows).is_flagged, rows.risky(policy), rows.harmless()
    over_refusal, recall = (flags[chosen].mean() if chosen.any() else 0.0 for chosen in (harmless, risky))
    if target_name == "over_refusal":
        return min(0.0, target - over_refusal), recall
    typed = risky & (rows.type != SOME_RISK)
    recalls = [flags[typed & (rows.type == risk)].mean() for risk in np.unique(rows.type[typed])]
    return float(sum(min(0.0, each - target) for each in recalls)), -over_refusal


def _cross_fit(fit: Callable[[Rows], SafetyPolicy], rows: Rows) -> Outcome:
    """Fits on each half of the rows and applies the result to the other half."""
    # Rows of one type and level go to the halves in turn, in an order that does not depend on how the data came.
    shuffled = np.random.default_rng(0).permutation(len(rows))
    in_turn = np.lexsort((shuffled, rows.level, rows.type))
    half = np.empty(len(rows), dtype=int)
    half[in_turn] = np.arange(len(rows)) % 2
    outcome = Outcome(np.empty((len(rows), len(SAFETY_LEVELS))), np.empty((len(rows), len(SAFETY_TYPES))), half > 1)
    for this in (0, 1):
        outcome_of_half = apply_policy(fit(rows.take(half != this)), rows.take(half == this))
        for name, values in vars(outcome_of_half).items():
            getattr(outcome, name)[half == this] = values
    return outcome
