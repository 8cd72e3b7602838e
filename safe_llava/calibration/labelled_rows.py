"""Labelled rows with the head's scores, and what a policy makes of them."""

from dataclasses import dataclass, field

import numpy as np
from scipy.special import softmax

from ..data.label_parsing import SOME_RISK, require_agreement
from ..models.array_verdict import Separate
from ..models.safety_labels import RISK_TYPES, SAFETY_LEVELS, SAFETY_TYPES
from ..models.safety_policy import SafetyPolicy
from .thresholds import is_flagged


@dataclass(frozen=True)
class Rows:
    """
    Labelled rows with the head's scores at temperature 1.

    Args:
        level_logits (`np.ndarray` of shape `(num_rows, 4)`): scores of the risk levels.
        type_logits (`np.ndarray` of shape `(num_rows, 7)`): scores of the risk types.
        level (`np.ndarray` of shape `(num_rows,)`): the true levels, `SOME_RISK` where it is not known which.
        type (`np.ndarray` of shape `(num_rows,)`): the true types, likewise.
        separate ([`Separate`], *optional*): of rows with several images, each assessment.
        unfamiliar (`np.ndarray` of shape `(num_rows,)`, *optional*): the rows that the model finds unfamiliar.
    """

    level_logits: np.ndarray
    type_logits: np.ndarray
    level: np.ndarray
    type: np.ndarray
    separate: Separate = field(default_factory=Separate)
    unfamiliar: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.level)

    def take(self, chosen: np.ndarray) -> "Rows":
        """The rows of a mask or of a list of indices, none of which is there twice."""
        indices, place = np.arange(len(self))[chosen], np.full(len(self), -1)
        place[indices] = np.arange(len(indices))
        is_taken = place[self.separate.rows] >= 0
        separate = Separate(*(values[is_taken] for values in self.separate))
        return Rows(
            self.level_logits[chosen],
            self.type_logits[chosen],
            self.level[chosen],
            self.type[chosen],
            separate._replace(rows=place[separate.rows]),
            None if self.unfamiliar is None else self.unfamiliar[chosen],
        )

    def assessments(self) -> Separate:
        """All that a policy decides on: each row's verdict, then each assessment of rows with several images."""
        own = Separate(np.arange(len(self)), self.level_logits, self.type_logits)
        return Separate(*map(np.concatenate, zip(own, self.separate)))

    def harmless(self) -> np.ndarray:
        """Mask of the rows whose true level is "none"."""
        return self.level == 0

    def refused(self, policy: SafetyPolicy) -> np.ndarray:
        """Mask of the rows that the policy refuses as unfamiliar, whatever its thresholds."""
        is_refused = policy.unfamiliar == "refuse" and any(rule["enabled"] for rule in policy.types.values())
        return self.unfamiliar if is_refused and self.unfamiliar is not None else np.zeros(len(self), dtype=bool)

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


def acted_levels(policy: SafetyPolicy) -> np.ndarray:
    """Of each of the four levels, whether the policy does anything but answer."""
    return np.array([policy.actions.get(level, "answer") != "answer" for level in SAFETY_LEVELS])


def apply_policy(policy: SafetyPolicy, rows: Rows) -> Outcome:
    """What the policy makes of each row, as [`SafetyPolicy.decide`] would."""
    found = rows.assessments()
    flags = is_flagged(type_probs(policy, found.type_logits), may_flag(policy, found.level_logits), thresholds(policy))
    return Outcome(
        level_probs=softmax(rows.level_logits / policy.temperature["level"], axis=1),
        type_probs=softmax(rows.type_logits / policy.temperature["type"], axis=1),
        is_flagged=(np.bincount(found.rows, flags, minlength=len(rows)) > 0) | rows.refused(policy),
    )


def thresholds(policy: SafetyPolicy) -> np.ndarray:
    """The threshold of each risk type; infinite where it is switched off."""
    rules = (policy.types[name] for name in RISK_TYPES)
    return np.array([rule["threshold"] if rule["enabled"] else np.inf for rule in rules])


def may_flag(policy: SafetyPolicy, level_logits: np.ndarray) -> np.ndarray:
    """Whether the policy acts on the level that it goes by, for each row of scores at temperature 1."""
    if policy.level_threshold is None:
        return acted_levels(policy)[level_logits.argmax(axis=1)]
    risks = softmax(level_logits / policy.temperature["level"], axis=1)[:, 1:]
    is_risk = risks.sum(axis=1) >= policy.level_threshold
    return is_risk & acted_levels(policy)[1 + risks.argmax(axis=1)]


def type_probs(policy: SafetyPolicy, type_logits: np.ndarray) -> np.ndarray:
    """Calibrated probabilities of the six risk types, from scores at temperature 1."""
    return softmax(type_logits / policy.temperature["type"], axis=1)[:, : len(RISK_TYPES)]


def check_rows(
    level_logits: np.ndarray,
    type_logits: np.ndarray,
    safety_level: np.ndarray,
    safety_type: np.ndarray,
    separate: Separate | None = None,
    unfamiliar: np.ndarray | None = None,
) -> Rows:
    """
    What [`collect_logits`] returns, as rows; its arguments are those of [`calibrate_policy`].

    Raises:
        ValueError: if logits and labels are not as described there.
    """
    rows = Rows(
        np.asarray(level_logits, dtype=np.float64),
        np.asarray(type_logits, dtype=np.float64),
        np.asarray(safety_level),
        np.asarray(safety_type),
        separate or Separate(),
        unfamiliar,
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
        raise ValueError(f"Calibration needs at least two labelled rows with an image, got {num_rows}.")
    return rows
