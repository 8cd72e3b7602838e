"""What the safety head found, in a form that people and policies can read."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from .policy_checks import check_temperature
from .safety_evidence import SafetyEvidence
from .safety_head import is_decided
from .safety_labels import SAFETY_LEVELS, SAFETY_TYPES, name_distrust
from .separate_assessments import SeparateAssessments


@dataclass
class SafetyVerdict:
    """
    The verdict on each row of a batch. Probabilities are what the head says; nothing of a policy is in them but the
    temperature by which the logits are already divided (see [`SafetyPolicy`]).

    Args:
        level_logits (`torch.FloatTensor` of shape `(batch_size, 4)`):
            Scores of the risk levels none, low, medium, high, divided by the temperature of the policy in force.
        type_logits (`torch.FloatTensor` of shape `(batch_size, 7)`):
            Scores of the risk types, in the order of [`SAFETY_TYPES`], divided likewise.
        has_image (`torch.BoolTensor` of shape `(batch_size,)`):
            Whether the row holds an image. Rows without one are never steered.
        trusted (`torch.BoolTensor` of shape `(batch_size,)`):
            False where the verdict cannot be believed: the model is not the one that a finished training left (see
            [`~safe_llava.models.safety_trust.find_distrust`]), the logits are not finite, all alike, or have no
            single best level, or the row is unfamiliar. Such a row counts as high risk; `distrust` says why.
        evidence ([`SafetyEvidence`], *optional*, returned with `return_evidence=True`):
            The patches and words that speak for each row's risk.
        separate ([`SeparateAssessments`], *optional*):
            Of rows with several images, whose gravest assessment the row's verdict is, all assessments.
        novelty (`torch.FloatTensor` of shape `(batch_size,)`, *optional*):
            How far each row is from those that the model was calibrated on (see
            [`~safe_llava.models.safety_familiarity.Familiarity`]): above 1 it is unfamiliar.

    Example:

    ```python
    >>> verdict = model.assess(**inputs)
    >>> verdict.levels, verdict.types
    (['high'], ['privacy'])
    >>> verdict.to_list()[0]["type_probs"]["privacy"]
    0.97
    ```"""

    level_logits: torch.Tensor
    type_logits: torch.Tensor
    has_image: torch.Tensor
    trusted: torch.Tensor
    evidence: SafetyEvidence | None = None
    separate: SeparateAssessments | None = None
    novelty: torch.Tensor | None = None

    def __post_init__(self):
        self.trusted = self.trusted & is_decided(self.level_logits, self.type_logits) & ~self.unfamiliar

    def __len__(self) -> int:
        return len(self.level_logits)

    def with_temperature(self, level: float = 1.0, type: float = 1.0) -> "SafetyVerdict":
        """
        A copy with the logits of levels and types divided by these numbers (arXiv 1706.04599). Raises a `ValueError`
        where one is out of the range that a policy may have.
        """
        check_temperature("temperature.level", level)
        check_temperature("temperature.type", type)
        return replace(
            self,
            level_logits=self.level_logits / level,
            type_logits=self.type_logits / type,
            separate=None if self.separate is None else self.separate.divided(level, type),
        )

    @property
    def level_probs(self) -> torch.Tensor:
        """Probabilities of the risk levels, of shape `(batch_size, 4)`."""
        return self.level_logits.softmax(dim=-1)

    @property
    def type_probs(self) -> torch.Tensor:
        """Probabilities of the risk types, of shape `(batch_size, 7)`."""
        return self.type_logits.softmax(dim=-1)

    @property
    def level(self) -> torch.Tensor:
        """Index of the risk level of each row, of shape `(batch_size,)`; 3 (high) where the verdict is untrusted."""
        return self.level_logits.argmax(dim=-1).masked_fill(~self.trusted, len(SAFETY_LEVELS) - 1)

    @property
    def type(self) -> torch.Tensor:
        """Index of the most probable risk type of each row, of shape `(batch_size,)`."""
        return self.type_logits.argmax(dim=-1)

    @property
    def unfamiliar(self) -> torch.Tensor:
        """Of which rows all that speaks against trust is that they are unlike those of the calibration."""
        if self.novelty is None:
            return torch.zeros_like(self.trusted)
        is_new = self.has_image & ~(self.novelty <= 1).to(self.has_image.device)
        return is_new.to(self.trusted.device) & is_decided(self.level_logits, self.type_logits)

    @property
    def distrust(self) -> list[str | None]:
        """Why each row is not trusted, one of [`~safe_llava.models.safety_labels.DISTRUST`]; `None` where it is."""
        decided = is_decided(self.level_logits, self.type_logits).tolist()
        return [*map(name_distrust, self.trusted.tolist(), decided, self.unfamiliar.tolist())]

    @property
    def levels(self) -> list[str]:
        """Name of the risk level of each row."""
        return [SAFETY_LEVELS[index] for index in self.level.tolist()]

    @property
    def types(self) -> list[str]:
        """Name of the most probable risk type of each row."""
        return [SAFETY_TYPES[index] for index in self.type.tolist()]

    def to_list(self) -> list[dict[str, Any]]:
        """One JSON-ready dictionary per row: level, type, all probabilities, has_image, trusted, distrust."""
        columns = {
            "level": self.levels,
            "type": self.types,
            "level_probs": [dict(zip(SAFETY_LEVELS, row)) for row in self.level_probs.tolist()],
            "type_probs": [dict(zip(SAFETY_TYPES, row)) for row in self.type_probs.tolist()],
            "has_image": self.has_image.tolist(),
            "trusted": self.trusted.tolist(),
            "distrust": self.distrust,
        }
        return [dict(zip(columns, row)) for row in zip(*columns.values())]
