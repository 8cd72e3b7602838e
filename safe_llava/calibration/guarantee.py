"""
Thresholds with a promise that holds for rows yet to come, in finite samples: Learn-then-Test over the whole policy.

Source: "Learn then Test: Calibrating Predictive Algorithms to Achieve Risk Control", Angelopoulos et al. 2021, arXiv
2110.01052, with fixed-sequence testing. Temperatures and the proportions between thresholds are fitted to one part of
the rows. They fix a walk of policies from the highest thresholds to the lowest, and the other part is tested along it:
from the end at which a promise is the safest to the first policy at which it is not settled. Over-refusal can only
rise on the way and a miss rate only fall, so neither the number of steps nor promises of one direction need a
correction; the two directions share the error.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from ..models.safety_guarantee import digest_decisions
from ..models.safety_labels import RISK_TYPES
from ..models.safety_policy import SafetyPolicy
from .fit import DEFAULT_MIN_EXAMPLES, Calibration, fit_policy, types_to_fit
from .labelled_rows import Rows, apply_policy
from .promises import Promise, require_meaning
from .settled_steps import MOST_ROWS, PromiseTest, choose_step, find_factor
from .threshold_walk import first_flagged, walk_thresholds
from .thresholds import MARGIN


DEFAULT_CONFIDENCE = 0.95
DEFAULT_FIT_SHARE = 0.3


@dataclass(frozen=True)
class Origin:
    """
    What a guarantee says of the rows it rests on.

    Args:
        sha256 (`str`): digest of the rows.
        weights (`str`): of the model that gave the scores; see [`~safe_llava.models.safety_guarantee.name_weights`].
        left_out (`dict[str, int]`, *optional*): rows that were not taken, by reason.
        copies (`int`, *optional*, defaults to 0): rows that are equal to another one.
    """

    sha256: str
    weights: str
    left_out: dict[str, int] = field(default_factory=dict)
    copies: int = 0


def guarantee_policy(
    policy: SafetyPolicy,
    rows: Rows,
    promises: Sequence[Promise],
    origin: Origin,
    *,
    confidence: float = DEFAULT_CONFIDENCE,
    fit_share: float = DEFAULT_FIT_SHARE,
    min_examples: int = DEFAULT_MIN_EXAMPLES,
    fit_level_threshold: bool = False,
) -> Calibration:
    """
    Chooses thresholds with which promises hold, on rows drawn as these were, with a probability of at least
    `confidence` over the draw of these rows; all promises together. With one on over-refusal they are the lowest that
    are settled, else the highest. All types that are on move together.

    Args:
        policy ([`SafetyPolicy`]): the policy to start from.
        rows ([`Rows`]): independent draws, or exchangeable ones, that the head was not trained on; see [`check_rows`].
        promises (`Sequence[Promise]`): what shall hold; see [`parse_promises`].
        origin ([`Origin`]): where the rows come from.
        confidence (`float`, *optional*, defaults to 0.95): between 0 and 1.
        fit_share (`float`, *optional*, defaults to 0.3):
            Share of the rows, drawn at random, that temperatures and the proportions between thresholds are fitted to.
            0 keeps those of the policy, which these rows must then have had no part in.
        min_examples (`int`, *optional*, defaults to 20): see [`calibrate_policy`]; it counts the fitted part.
        fit_level_threshold (`bool`, *optional*, defaults to `False`):
            Whether the fitted part also chooses the threshold of the level; see [`calibrate_policy`].

    Returns:
        [`Calibration`]: its rows are those that were tested; its policy has the `guarantee`.

    Raises:
        ValueError: if the promises cannot be settled, with the number of rows that it would take; if a promise means
            nothing under this policy, or an argument is out of range.
    """
    check_shares(confidence, fit_share)
    require_meaning(promises, policy)
    # An order of its own: files are often sorted by class.
    shuffled, num_fitted = np.random.default_rng(0).permutation(len(rows)), round(fit_share * len(rows))
    tested = rows.take(np.sort(shuffled[num_fitted:]))
    name, target = _target(promises)
    start = policy
    if fit_share:
        fitted = rows.take(np.sort(shuffled[:num_fitted]))
        fitted = fitted.take(~fitted.refused(policy))
        types = types_to_fit(policy, fitted, name, min_examples)
        start = fit_policy(policy, fitted, name, target, types, num_fitted >= min_examples, fit_level_threshold)

    walk = walk_thresholds(start)
    error = (1 - confidence) / len({promise.metric for promise in promises})
    tests = [PromiseTest(promise, sort_steps(promise, start, walk, tested), len(walk), error) for promise in promises]
    step = choose_step(tests)
    if step is None:
        raise ValueError(_say_unreachable(tests, confidence, fit_share))
    types_on = [risk for risk in range(len(RISK_TYPES)) if np.isfinite(walk[step, risk])]
    thresholds = {RISK_TYPES[risk]: {"threshold": float(walk[step, risk])} for risk in types_on}
    chosen = start.updated({"types": thresholds, "guarantee": None})
    outcome = apply_policy(chosen, tested)
    guarantee = {
        "promises": {str(promise): _count(promise, chosen, tested, outcome.is_flagged) for promise in promises},
        "confidence": confidence,
        "rows": {
            "tested": len(tested),
            "fitted": num_fitted,
            "left_out": origin.left_out,
            "copies": origin.copies,
            "sha256": origin.sha256,
        },
        "weights": origin.weights,
        "decisions": digest_decisions(chosen.to_dict()),
    }
    return Calibration(
        old_policy=policy,
        policy=chosen.updated({"guarantee": guarantee}),
        target_name=name,
        target=target,
        min_examples=min_examples,
        fitted_types=tuple(thresholds),
        rows=tested,
        before=apply_policy(policy, tested),
        after=outcome,
        cross_fitted=outcome,
        guarantee=guarantee,
    )


def check_shares(confidence: float, fit_share: float) -> None:
    """Raises a `ValueError` where one of these arguments of [`guarantee_policy`] is out of range."""
    if not 0 < confidence < 1:
        raise ValueError(f"The confidence must be between 0 and 1, such as 0.95, got {confidence}.")
    if not 0 <= fit_share < 1:
        raise ValueError(f"The share of the rows to fit to must be in [0, 1), got {fit_share}.")


def _target(promises: Sequence[Promise]) -> tuple[Literal["over_refusal", "recall"], float]:
    """What the proportions between thresholds are fitted for."""
    for promise in promises:
        if promise.metric == "over_refusal":
            return "over_refusal", promise.bound
    return "recall", 1 - min(promise.bound for promise in promises)


def sort_steps(promise: Promise, policy: SafetyPolicy, walk: np.ndarray, rows: Rows) -> np.ndarray:
    """The steps from which on the rows of a promise are flagged, sorted."""
    # A row that is as good as on the line counts against the promise.
    needed_sum = 1 - MARGIN if promise.metric == "over_refusal" else 1 + MARGIN
    return np.sort(first_flagged(policy, walk, rows.take(promise.speaks_of(rows, policy)), needed_sum))


def _count(promise: Promise, policy: SafetyPolicy, rows: Rows, is_flagged: np.ndarray) -> dict[str, int]:
    flags = is_flagged[promise.speaks_of(rows, policy)]
    return {"rows": len(flags), "failures": int((flags == (promise.metric == "over_refusal")).sum())}


def _say_unreachable(tests: Sequence[PromiseTest], confidence: float, fit_share: float) -> str:
    asked = " and ".join(str(test.promise) for test in tests)
    counts = {test.promise.kind: len(test.first) for test in tests}
    beginning = f"{asked} with a confidence of {confidence:.4g} is not reachable with {_list(counts)} rows"
    if fit_share:
        beginning += f" to test on ({fit_share:.0%} of all are fitted to)"
    if missing := [test for test in tests if not len(test.first)]:
        test = missing[0]
        needed = math.ceil(math.log(test.error) / math.log(1 - test.promise.bound))
        return f"{beginning}; of {test.promise.kind} ones at least {needed} are needed."
    factor = find_factor(tests)
    if factor is not None:
        needed_rows = {kind: math.ceil(number * factor / (1 - fit_share)) for kind, number in counts.items()}
        return f"{beginning}; about {_list(needed_rows)} rows are needed in all."
    for test in tests:
        if choose_step([test], MOST_ROWS) is None:
            is_over = test.promise.metric == "over_refusal"
            failures = (test.first == 0) if is_over else (test.first == test.num_steps)
            how = "its highest thresholds flag" if is_over else "its lowest thresholds miss"
            return (
                f"{beginning}, and more do not help: even {how} {failures.mean():.2%} of the {test.promise.kind} rows."
            )
    return f"{beginning}, and more do not help: the promises exclude each other on rows like these. Loosen one."


def _list(counts: dict[str, int]) -> str:
    return " and ".join(f"{number} {kind}" for kind, number in counts.items())
