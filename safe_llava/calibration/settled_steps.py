"""Promises tested along a walk of policies: at which steps each is settled, which to take, how many rows it needs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .promises import Promise, most_failures


MOST_ROWS = 1024
"""Times as many rows, at most, of which it is said that they would be needed."""


@dataclass(frozen=True)
class PromiseTest:
    """
    A promise and the rows that it is tested on.

    Args:
        promise ([`Promise`]): the promise.
        first (`np.ndarray` of shape `(num_rows,)`): the step from which on each of its rows is flagged, sorted.
        num_steps (`int`): steps of the walk.
        error (`float`): the probability with which it may be settled though it does not hold.
    """

    promise: Promise
    first: np.ndarray
    num_steps: int
    error: float

    def settled(self, factor: float = 1.0) -> tuple[int, int]:
        """
        Where it is settled, by tests that begin at the safe end of the walk and stop at the first that fails.

        Args:
            factor (`float`, *optional*, defaults to 1.0): imagines so many times as many rows like these.

        Returns:
            `tuple[int, int]`: the first step and the last; the first lies behind the last where there is none.
        """
        num_rows = len(self.first)
        imagined = round(num_rows * factor)
        allowed = most_failures(imagined, self.promise.bound, self.error)
        if allowed < 0:
            return self.num_steps, -1
        allowed = allowed * num_rows // imagined
        if self.promise.metric == "over_refusal":
            return 0, self.num_steps - 1 if allowed >= num_rows else int(self.first[allowed]) - 1
        return 0 if allowed >= num_rows else int(self.first[num_rows - 1 - allowed]), self.num_steps - 1


def choose_step(tests: Sequence[PromiseTest], factor: float = 1.0) -> int | None:
    """The step to take, or `None` where there is none at which all promises are settled."""
    firsts, lasts = zip(*(test.settled(factor) for test in tests))
    if max(firsts) > min(lasts):
        return None
    return min(lasts) if any(test.promise.metric == "over_refusal" for test in tests) else max(firsts)


def find_factor(tests: Sequence[PromiseTest]) -> float | None:
    """How many times as many rows like these it takes, about; `None` where no number of them will do."""
    low, high = 1.0, 2.0
    while choose_step(tests, high) is None:
        low, high = high, 2 * high
        if high > MOST_ROWS:
            return None
    while high > 1.02 * low:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if choose_step(tests, middle) is None else (low, middle)
    return high
