"""A walk through policies that differ in a single number, from thresholds that flag least to those that flag most."""

import numpy as np

from ..models.safety_policy import SafetyPolicy
from .labelled_rows import Rows, may_flag, thresholds, type_probs
from .thresholds import MAX_SHIFT, is_flagged, shift_thresholds


NUM_STEPS = 4001
"""Steps of a hundredth in log odds."""


def walk_thresholds(policy: SafetyPolicy) -> np.ndarray:
    """
    The policy's thresholds with the log odds of all types that are on moved by a common amount.

    Args:
        policy ([`SafetyPolicy`]): where the proportions between thresholds come from.

    Returns:
        `np.ndarray` of shape `(num_steps, 6)`: the highest thresholds first; infinite for types that are off.
    """
    start = thresholds(policy)
    is_on = np.isfinite(start)
    walk = np.full((NUM_STEPS, len(start)), np.inf)
    walk[:, is_on] = shift_thresholds(start[is_on], np.linspace(MAX_SHIFT, -MAX_SHIFT, NUM_STEPS)[:, None])
    return walk


def first_flagged(policy: SafetyPolicy, walk: np.ndarray, rows: Rows, needed_sum: float = 1.0) -> np.ndarray:
    """
    The step from which on the policy flags each row. Thresholds only fall along the walk, so it does so ever after.

    Args:
        policy ([`SafetyPolicy`]): the policy, whose thresholds are those of the walk.
        walk (`np.ndarray` of shape `(num_steps, 6)`): see [`walk_thresholds`].
        rows ([`Rows`]): the rows.
        needed_sum (`float`, *optional*, defaults to 1.0): see [`is_flagged`].

    Returns:
        `np.ndarray` of shape `(num_rows,)`: from 0; the number of steps where it never does.
    """
    found = rows.assessments()
    probs, may_be = type_probs(policy, found.type_logits), may_flag(policy, found.level_logits)
    low, high = np.zeros(len(probs), dtype=int), np.full(len(probs), len(walk))
    while (is_open := low < high).any():
        middle = (low + high) // 2
        flags = is_flagged(probs, may_be, walk[middle.clip(max=len(walk) - 1)], needed_sum)
        low, high = np.where(is_open & ~flags, middle + 1, low), np.where(is_open & flags, middle, high)
    first = np.full(len(rows), len(walk))
    np.minimum.at(first, found.rows, high)
    first[rows.refused(policy)] = 0
    return first
