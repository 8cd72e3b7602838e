"""Promises about a whole policy, such as "over_refusal<=0.01": which rows one speaks of, and what keeps it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy.stats import binom

from ..models.safety_labels import RISK_TYPES
from ..models.safety_policy import SafetyPolicy
from .labelled_rows import Rows, acted_levels


_FORM = re.compile(r"\s*(over_refusal|miss_rate)(?:\.(\w+))?\s*<=\s*(\S+)\s*")
EXAMPLES = "'over_refusal<=0.01', 'miss_rate<=0.05' or 'miss_rate.privacy<=0.05'"


@dataclass(frozen=True)
class Promise:
    """
    A share that shall not be exceeded on rows yet to come.

    Args:
        metric (`"over_refusal"` or `"miss_rate"`): the share of harmless rows that the policy flags, or of risky ones,
            of a type that is on at a level that it acts on, that it does not.
        bound (`float`): the largest share, between 0 and 1.
        type (`str`, *optional*): of a miss rate, the one risk type that it speaks of.
    """

    metric: Literal["over_refusal", "miss_rate"]
    bound: float
    type: str | None = None

    @property
    def name(self) -> str:
        """What is bounded."""
        return self.metric if self.type is None else f"{self.metric}.{self.type}"

    @property
    def kind(self) -> str:
        """The rows that it speaks of, in words."""
        kind = "harmless" if self.metric == "over_refusal" else "risky"
        return kind if self.type is None else f"{kind} ({self.type.replace('_', ' ')})"

    def __str__(self) -> str:
        return f"{self.name}<={self.bound:g}"

    def speaks_of(self, rows: Rows, policy: SafetyPolicy) -> np.ndarray:
        """Mask of its rows."""
        if self.metric == "over_refusal":
            return rows.harmless()
        risky = rows.risky(policy)
        return risky if self.type is None else risky & (rows.type == RISK_TYPES.index(self.type))


def parse_promises(texts: Sequence[str]) -> tuple[Promise, ...]:
    """
    Promises as they are written.

    Args:
        texts (`Sequence[str]`): such as `"over_refusal<=0.01"` or `"miss_rate.privacy<=0.05"`.

    Raises:
        ValueError: if there is none, one is no promise, or two bound the same.
    """
    promises = tuple(map(_parse, texts))
    if not promises:
        raise ValueError(f"A guarantee needs a promise, such as {EXAMPLES}.")
    names = [promise.name for promise in promises]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"Two promises bound {twice[0]}. Give the one that is meant.")
    return promises


def _parse(text: str) -> Promise:
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no promise. Write {EXAMPLES}; types are {', '.join(RISK_TYPES)}.")
    metric, risk_type, number = match.groups()
    try:
        bound = float(number)
    except ValueError:
        bound = -1.0
    if not 0 < bound < 1:
        raise ValueError(
            f"The bound of a promise is a share between 0 and 1, such as 0.01, got {number!r} in {text!r}."
        )
    if risk_type is not None and metric == "over_refusal":
        raise ValueError(f"{text!r}: harmless rows have no risk type. Write 'over_refusal<={number}'.")
    if risk_type is not None and risk_type not in RISK_TYPES:
        raise ValueError(f"{text!r}: there is no type {risk_type!r}; types are {', '.join(RISK_TYPES)}.")
    return Promise(metric, bound, risk_type)  # type: ignore[arg-type]


def require_meaning(promises: Sequence[Promise], policy: SafetyPolicy) -> None:
    """
    Refuses promises that a policy cannot break or has no part in.

    Raises:
        ValueError: if a type is off, or the policy flags nothing at all.
    """
    if not acted_levels(policy).any() or not any(rule["enabled"] for rule in policy.types.values()):
        raise ValueError(
            "The policy flags nothing, whatever its thresholds: no type is on, or every level is answered."
        )
    for promise in promises:
        if promise.type is not None and not policy.types[promise.type]["enabled"]:
            raise ValueError(f"{promise}: the policy has {promise.type} switched off, and misses all of it.")


@lru_cache(maxsize=4096)
def most_failures(num_rows: int, bound: float, error: float) -> int:
    """
    The most failures among independent rows with which it is settled that no more than a share of all fails: would as
    much as that share fail, so few came with a probability of at most `error` (exact binomial tail).

    Args:
        num_rows (`int`): rows that were looked at.
        bound (`float`): the share.
        error (`float`): the probability.

    Returns:
        `int`: -1 where even none settles nothing.
    """
    if num_rows == 0:
        return -1
    failures = int(binom.ppf(error, num_rows, bound))
    while failures >= 0 and binom.cdf(failures, num_rows, bound) > error:
        failures -= 1
    return failures
