"""What a safety head found, in numpy: what programs around a guard work with, whatever the guard itself runs on."""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from .policy_checks import check_temperature
from .safety_labels import FLAT, SAFETY_LEVELS, SAFETY_TYPES, name_distrust
from .safety_policy import SafetyDecision, SafetyPolicy


class Separate(NamedTuple):
    """
    All that the head said of rows with several images, as a whole and of each image alone (see
    [`SeparateAssessments`]). A policy flags a row for any of it.

    Args:
        rows (`np.ndarray` of shape `(num_assessments,)`): the row that each belongs to.
        level_logits (`np.ndarray` of shape `(num_assessments, 4)`): scores of the risk levels.
        type_logits (`np.ndarray` of shape `(num_assessments, 7)`): scores of the risk types.
    """

    rows: np.ndarray = np.empty(0, dtype=int)
    level_logits: np.ndarray = np.empty((0, len(SAFETY_LEVELS)))
    type_logits: np.ndarray = np.empty((0, len(SAFETY_TYPES)))

    def of_row(self, row: int) -> "Separate":
        """The assessments of one row."""
        return Separate(*(values[self.rows == row] for values in self))


@dataclass(frozen=True)
class ArrayVerdict:
    """
    The verdict on each row of a batch, which says what [`SafetyVerdict`] says.

    Args:
        level_logits (`np.ndarray` of shape `(batch_size, 4)`): scores of the risk levels, divided by a temperature.
        type_logits (`np.ndarray` of shape `(batch_size, 7)`): scores of the risk types, divided likewise.
        has_image (`np.ndarray` of shape `(batch_size,)`): whether the row holds an image.
        trusted (`np.ndarray` of shape `(batch_size,)`): whether the verdict can be believed; else it is "high".
        separate ([`Separate`], *optional*): of rows with several images, all assessments.
        novelty (`np.ndarray` of shape `(batch_size,)`, *optional*):
            How far each row is from those that the model was calibrated on: above 1 it is unfamiliar.
    """

    level_logits: np.ndarray
    type_logits: np.ndarray
    has_image: np.ndarray
    trusted: np.ndarray
    separate: Separate = field(default_factory=Separate)
    novelty: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.level_logits)

    def with_temperature(self, level: float = 1.0, type: float = 1.0) -> "ArrayVerdict":
        """A copy with the logits divided, as [`SafetyVerdict.with_temperature`]."""
        check_temperature("temperature.level", level)
        check_temperature("temperature.type", type)
        rows, levels, types = self.separate
        return replace(
            self,
            level_logits=self.level_logits / level,
            type_logits=self.type_logits / type,
            separate=Separate(rows, levels / level, types / type),
        )

    @property
    def level(self) -> np.ndarray:
        """Index of the risk level of each row; 3 (high) where the verdict is untrusted."""
        return np.where(self.trusted, self.level_logits.argmax(axis=1), len(SAFETY_LEVELS) - 1)

    @property
    def unfamiliar(self) -> np.ndarray:
        """Of which rows all that speaks against trust is that they are unlike those of the calibration."""
        if self.novelty is None:
            return np.zeros(len(self), dtype=bool)
        return self.has_image & ~(self.novelty <= 1) & self._is_decided()

    @property
    def distrust(self) -> list[str | None]:
        """Why each row is not trusted, as [`SafetyVerdict.distrust`]."""
        return [*map(name_distrust, self.trusted.tolist(), self._is_decided().tolist(), self.unfamiliar.tolist())]

    def _is_decided(self) -> np.ndarray:
        """As [`~safe_llava.models.safety_head.is_decided`]."""
        best, second = np.sort(self.level_logits, axis=1)[:, :-3:-1].T
        says = [
            np.isfinite(logits).all(axis=1) & (logits.max(axis=1) - logits.min(axis=1) > FLAT)
            for logits in (self.level_logits, self.type_logits)
        ]
        return (best > second) & says[0] & says[1]

    def to_list(self) -> list[dict[str, Any]]:
        """One JSON-ready dictionary per row, as [`SafetyVerdict.to_list`]."""
        columns = {
            "level": [SAFETY_LEVELS[index] for index in self.level],
            "type": [SAFETY_TYPES[index] for index in self.type_logits.argmax(axis=1)],
            "level_probs": [dict(zip(SAFETY_LEVELS, row)) for row in softmax(self.level_logits).tolist()],
            "type_probs": [dict(zip(SAFETY_TYPES, row)) for row in softmax(self.type_logits).tolist()],
            "has_image": self.has_image.tolist(),
            "trusted": self.trusted.tolist(),
            "distrust": self.distrust,
        }
        return [dict(zip(columns, row)) for row in zip(*columns.values())]

    def decide(self, policy: SafetyPolicy) -> list[SafetyDecision]:
        """
        What a policy does with each row, as [`SafeLlavaAssessmentMixin.decide`].

        Args:
            policy ([`SafetyPolicy`]): the policy, whose temperature the verdict already has.
        """
        decisions = [
            policy.decide(levels, types, bool(trusted), bool(is_new)) if has_image else SafetyDecision("answer")
            for levels, types, trusted, is_new, has_image in zip(
                softmax(self.level_logits).tolist(),
                softmax(self.type_logits).tolist(),
                self.trusted | self.unfamiliar,
                self.unfamiliar,
                self.has_image,
            )
        ]
        of_rows, level_logits, type_logits = self.separate
        for row, levels, types in zip(of_rows, softmax(level_logits).tolist(), softmax(type_logits).tolist()):
            # The gravest may be what this policy lets pass, such as a type that is off, and another may not.
            decisions[row] = max(decisions[row], policy.decide(levels, types), key=SafetyDecision.strictness)
        return decisions


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of the classes of each row."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
