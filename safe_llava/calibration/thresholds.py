"""Thresholds of risk types for a target over-refusal or a target recall, under the policy's joint rule."""

import math
from bisect import bisect_left
from collections.abc import Callable

import numpy as np
from scipy.special import expit, logit


STEP = 1e-4
"""Thresholds are multiples of this."""

MARGIN = 1e-5
"""How far a row's sum must be from 1 while thresholds are chosen: a model computes in float32, and the rows that it is
sure of crowd around a sum of 1 when a threshold is near 1."""

LOWEST = 0.05
"""No threshold is set below this: the policy acts on the type that is furthest over its threshold, and one with a tiny
threshold would win over types that are far more probable."""

MAX_SHIFT = 20.0
"""Log odds by which thresholds are moved at most: enough to take any of them to either end."""


def is_flagged(
    type_probs: np.ndarray, may_flag: np.ndarray, thresholds: np.ndarray, needed_sum: float = 1.0
) -> np.ndarray:
    """
    [`SafetyPolicy.decide`] for many rows: whether it does anything but answer.

    Args:
        type_probs (`np.ndarray` of shape `(num_rows, 6)`): calibrated probabilities of the risk types.
        may_flag (`np.ndarray` of shape `(num_rows,)`): whether the policy acts on the row's level.
        thresholds (`np.ndarray` of shape `(6,)`): of each type; infinite where it is switched off.
        needed_sum (`float`, *optional*, defaults to 1.0): what the sum of probability / threshold must reach.

    Returns:
        `np.ndarray` of shape `(num_rows,)`
    """
    return may_flag & ((type_probs / thresholds).sum(axis=1) >= needed_sum)


def thresholds_for_over_refusal(
    type_probs: np.ndarray,
    may_flag: np.ndarray,
    row: np.ndarray,
    thresholds: np.ndarray,
    fitted: list[int],
    target: float,
) -> np.ndarray:
    """
    The smallest thresholds with which the whole policy flags at most a share of harmless rows. Each type first gets
    the smallest one whose own flags stay in its part of that share. Then the log odds of all are moved by the smallest
    common amount that keeps the joint rule within the whole share.

    Args:
        type_probs (`np.ndarray` of shape `(num_assessments, 6)`): of the harmless rows, see [`is_flagged`].
        may_flag (`np.ndarray` of shape `(num_assessments,)`): of the harmless rows, see [`is_flagged`].
        row (`np.ndarray` of shape `(num_assessments,)`): whose each is; one is enough to flag its row.
        thresholds (`np.ndarray` of shape `(6,)`): the thresholds so far.
        fitted (`list[int]`): the types to fit; the others keep theirs.
        target (`float`): largest share of harmless rows to flag.

    Returns:
        `np.ndarray` of shape `(6,)`. Where no thresholds reach the target, those that come closest.
    """
    num_rows = len(np.unique(row))
    allowed = whole(target * num_rows)
    own_share = whole(target * num_rows / len(fitted))
    shape = np.array([_smallest_threshold(type_probs[may_flag, risk], own_share) for risk in fitted])

    def shifted(shift: float) -> np.ndarray:
        result = thresholds.copy()
        result[fitted] = shift_thresholds(shape, shift)
        return result

    def fits(shift: float) -> bool:
        return len(np.unique(row[is_flagged(type_probs, may_flag, shifted(shift), 1 - MARGIN)])) <= allowed

    return shifted(_first_that_fits(fits, -MAX_SHIFT, MAX_SHIFT))


def thresholds_for_recall(
    type_probs: np.ndarray,
    may_flag: np.ndarray,
    risk_type: np.ndarray,
    thresholds: np.ndarray,
    fitted: list[int],
    target: float,
) -> np.ndarray:
    """
    The largest thresholds with which the whole policy flags at least a share of the rows of each type. Each type first
    gets the largest one that suffices on its own. Since types help each other under the joint rule, the log odds of
    all are then moved up by the largest common amount that keeps every share, and what is left over is used type by
    type.

    Args:
        type_probs (`np.ndarray` of shape `(num_rows, 6)`): of the risky rows, see [`is_flagged`].
        may_flag (`np.ndarray` of shape `(num_rows,)`): of the risky rows, see [`is_flagged`].
        risk_type (`np.ndarray` of shape `(num_rows,)`): the true type of each row.
        thresholds (`np.ndarray` of shape `(6,)`): the thresholds so far.
        fitted (`list[int]`): the types to fit; the others keep theirs.
        target (`float`): smallest share of each type's rows to flag.

    Returns:
        `np.ndarray` of shape `(6,)`. A type that cannot reach the target gets as close as its rows allow.
    """
    start = thresholds.copy()
    for risk in fitted:
        own = risk_type == risk
        start[risk] = _largest_threshold(
            type_probs[own & may_flag, risk], math.ceil(target * own.sum() - 1e-9), start[risk]
        )

    def num_flagged(candidate: np.ndarray) -> np.ndarray:
        flags = is_flagged(type_probs, may_flag, candidate, 1 + MARGIN)
        return np.bincount(risk_type[flags], minlength=len(candidate))[fitted]

    needed = np.ceil(target * np.bincount(risk_type, minlength=len(start))[fitted] - 1e-9)
    needed = np.minimum(needed, num_flagged(start))

    def shifted(shift: float) -> np.ndarray:
        result = start.copy()
        result[fitted] = np.floor(_shift_odds(start[fitted], shift) / STEP + 1e-6) * STEP
        return result.round(4)

    # What is searched is the smallest shift downwards; 0 fits.
    result = shifted(
        -_first_that_fits(lambda down: bool((num_flagged(shifted(-down)) >= needed).all()), -MAX_SHIFT, 0)
    )
    for risk in fitted:

        def is_too_high(steps: int, risk: int = risk) -> bool:
            candidate = result.copy()
            candidate[risk] = round(steps * STEP, 4)
            return bool((num_flagged(candidate) < needed).any())

        lowest, highest = round(result[risk] / STEP), round(1 / STEP)
        steps = bisect_left(range(lowest, highest + 1), True, key=is_too_high) + lowest - 1
        result[risk] = round(steps * STEP, 4)
    return result


def shift_thresholds(thresholds: np.ndarray, shift: float | np.ndarray) -> np.ndarray:
    """Thresholds whose log odds are moved, rounded up, and kept where thresholds may be."""
    return np.clip(np.ceil(_shift_odds(thresholds, shift) / STEP) * STEP, LOWEST, 1).round(4)


def whole(number: float) -> int:
    """The number rounded down, and not one too few where a float falls just short of it."""
    return math.floor(number + 1e-9)


def _smallest_threshold(probs: np.ndarray, allowed: int) -> float:
    """The smallest threshold that at most so many of the probabilities reach."""
    if len(probs) <= allowed:
        return LOWEST
    highest_to_pass = np.sort(probs)[::-1][allowed]
    return min(max((math.floor(highest_to_pass / STEP) + 1) * STEP, LOWEST), 1.0)


def _largest_threshold(probs: np.ndarray, needed: int, current: float) -> float:
    """The largest threshold that so many of the probabilities reach, or as many as can; `current` if none can."""
    within_reach = np.sort(probs[probs >= LOWEST])[::-1]
    needed = min(needed, len(within_reach))
    return max(math.floor(within_reach[needed - 1] / STEP) * STEP, LOWEST) if needed else current


def _shift_odds(thresholds: np.ndarray, shift: float | np.ndarray) -> np.ndarray:
    return expit(logit(thresholds.clip(0, 1 - STEP / 2)) + shift)


def _first_that_fits(fits: Callable[[float], bool], low: float, high: float) -> float:
    """The smallest shift that fits, where all larger ones fit too; `high` where none does."""
    if fits(low):
        return low
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
