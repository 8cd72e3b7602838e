"""From logits and labels to a policy: temperatures, thresholds, and what the policy then does to each row."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import softmax

from ..data.label_parsing import SOME_RISK, require_agreement
from ..models.safety_labels import RISK_TYPES, SAFE_TYPE_ID, SAFETY_LEVELS, SAFETY_TYPES
from ..models.safety_policy import SafetyPolicy
from .temperature import fit_temperature
from .thresholds import is_flagged, thresholds_for_over_refusal, thresholds_for_recall


DEFAULT_OVER_REFUSAL = 0.01
DEFAULT_MIN_EXAMPLES = 20


@dataclass(frozen=True)
class Rows:
    """
    Labelled rows with the head's scores at temperature 1.

    Args:
        level_logits (`np.ndarray` of shape `(num_rows, 4)`): scores of the risk levels.
        type_logits (`np.ndarray` of shape `(num_rows, 7)`): scores of the risk types.
        level (`np.ndarray` of shape `(num_rows,)`): the true levels, `SOME_RISK` where it is not known which.
        type (`np.ndarray` of shape `(num_rows,)`): the true types, likewise.
    """

    level_logits: np.ndarray
    type_logits: np.ndarray
    level: np.ndarray
    type: np.ndarray

    def __len__(self) -> int:
        return len(self.level)

    def take(self, chosen: np.ndarray) -> "Rows":
        """The rows of a mask or of a list of indices."""
        return Rows(self.level_logits[chosen], self.type_logits[chosen], self.level[chosen], self.type[chosen])

    def harmless(self) -> np.ndarray:
        """Mask of the rows whose true level is "none"."""
        return self.level == 0

    def risky(self, policy: SafetyPolicy) -> np.ndarray:
        """
        Mask of the rows that the policy is meant to flag: of a type that is on, at a level that it acts on. Where one
        of the two is not known, only if it is so for all that it may be.
        """
        enabled = np.array([policy.types[name]["enabled"] for name in RISK_TYPES])
        acted = acted_levels(policy)
        # Looked up by their numbers, of which that of some risk, -1, takes the last.
        by_level, by_type = [*acted, acted[1:].all()], [*enabled, False, enabled.all()]
        return np.array(by_level)[self.level] & np.array(by_type)[self.type]


@dataclass(frozen=True)
class Outcome:
    """
    What a policy makes of rows.

    Args:
        level_probs (`np.ndarray` of shape `(num_rows, 4)`): calibrated probabilities of the levels.
        type_probs (`np.ndarray` of shape `(num_rows, 7)`): calibrated probabilities of the types.
        is_flagged (`np.ndarray` of shape `(num_rows,)`): whether the policy hints or refuses.
    """

    level_probs: np.ndarray
    type_probs: np.ndarray
    is_flagged: np.ndarray


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


def calibrate_policy(
    policy: SafetyPolicy,
    level_logits: np.ndarray,
    type_logits: np.ndarray,
    safety_level: np.ndarray,
    safety_type: np.ndarray,
    *,
    target_over_refusal: float | None = None,
    target_recall: float | None = None,
    min_examples: int = DEFAULT_MIN_EXAMPLES,
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
        target_over_refusal (`float`, *optional*, defaults to 0.01 where no target is given):
            Largest share of harmless rows (level "none") that the whole policy may flag, in [0, 1).
        target_recall (`float`, *optional*):
            In its place, smallest share of the risky rows of each type that the whole policy must flag, in (0, 1].
        min_examples (`int`, *optional*, defaults to 20):
            Rows that a type needs for a threshold of its own, and that a temperature needs; at least 2.

    Returns:
        [`Calibration`]

    Raises:
        ValueError: if both targets are given or one is out of range, or if logits and labels are not as described.
    """
    name, target = check_target(target_over_refusal, target_recall)
    if min_examples < 2:
        raise ValueError(f"`min_examples` must be at least 2, got {min_examples}.")
    rows = _check_rows(level_logits, type_logits, safety_level, safety_type)

    risky_types = rows.type[rows.risky(policy)]
    fitted = [risk for risk in range(len(RISK_TYPES)) if (risky_types == risk).sum() >= min_examples]
    if name == "over_refusal" and rows.harmless().sum() < min_examples:
        fitted = []

    def fit(part: Rows) -> SafetyPolicy:
        scaled = policy if len(rows) < min_examples else _fit_temperatures(policy, part)
        return _fit_thresholds(scaled, part, name, target, fitted) if fitted else scaled

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


def acted_levels(policy: SafetyPolicy) -> np.ndarray:
    """Of each of the four levels, whether the policy does anything but answer."""
    return np.array([policy.actions.get(level, "answer") != "answer" for level in SAFETY_LEVELS])


def apply_policy(policy: SafetyPolicy, rows: Rows) -> Outcome:
    """What the policy makes of each row, as [`SafetyPolicy.decide`] would."""
    type_probs = softmax(rows.type_logits / policy.temperature["type"], axis=1)
    return Outcome(
        level_probs=softmax(rows.level_logits / policy.temperature["level"], axis=1),
        type_probs=type_probs,
        is_flagged=is_flagged(type_probs[:, : len(RISK_TYPES)], _may_flag(policy, rows), _thresholds(policy)),
    )


def _thresholds(policy: SafetyPolicy) -> np.ndarray:
    rules = (policy.types[name] for name in RISK_TYPES)
    return np.array([rule["threshold"] if rule["enabled"] else np.inf for rule in rules])


def _may_flag(policy: SafetyPolicy, rows: Rows) -> np.ndarray:
    return acted_levels(policy)[rows.level_logits.argmax(axis=1)]


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
    type_probs = softmax(rows.type_logits / policy.temperature["type"], axis=1)[:, : len(RISK_TYPES)]
    may_flag, current = _may_flag(policy, rows), _thresholds(policy)
    if target_name == "over_refusal":
        harmless = rows.harmless()
        found = thresholds_for_over_refusal(type_probs[harmless], may_flag[harmless], current, fitted, target)
    else:
        risky = rows.risky(policy) & (rows.type != SOME_RISK)
        found = thresholds_for_recall(type_probs[risky], may_flag[risky], rows.type[risky], current, fitted, target)
    return policy.updated({"types": {RISK_TYPES[risk]: {"threshold": float(found[risk])} for risk in fitted}})


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


def _check_rows(
    level_logits: np.ndarray, type_logits: np.ndarray, safety_level: np.ndarray, safety_type: np.ndarray
) -> Rows:
    rows = Rows(
        np.asarray(level_logits, dtype=np.float64),
        np.asarray(type_logits, dtype=np.float64),
        np.asarray(safety_level),
        np.asarray(safety_type),
    )
    num_rows = len(rows)
    for name, logits, labels, classes in (
        ("level", rows.level_logits, rows.level, SAFETY_LEVELS),
        ("type", rows.type_logits, rows.type, SAFETY_TYPES),
    ):
        if logits.shape != (num_rows, len(classes)) or labels.shape != (num_rows,):
            raise ValueError(
                f"`{name}_logits` and `safety_{name}` must have the shapes ({num_rows}, {len(classes)}) and "
                f"({num_rows},), got {logits.shape} and {labels.shape}."
            )
        if not np.isfinite(logits).all():
            raise ValueError(f"`{name}_logits` must be finite.")
        if not np.isin(labels, [SOME_RISK, *range(len(classes))]).all():
            raise ValueError(
                f"`safety_{name}` must hold indices from 0 to {len(classes) - 1}, or -1 for some risk, got "
                f"{sorted(set(labels.tolist()) - {SOME_RISK, *range(len(classes))})}. Leave unlabelled rows out."
            )
        if num_rows and (labels == SOME_RISK).all():
            raise ValueError(f"Calibration needs rows whose {name} is known, such as harmless ones, got none.")
    require_agreement(rows.level, rows.type)
    if num_rows < 2:
        raise ValueError(f"Calibration needs labelled rows with an image, got {num_rows}.")
    return rows
