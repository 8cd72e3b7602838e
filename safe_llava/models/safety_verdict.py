"""What the safety head found, in a form that people and policies can read."""

from dataclasses import dataclass, replace
from typing import Any

import torch

from .safety_evidence import SafetyEvidence
from .safety_labels import SAFE_TYPE_ID, SAFETY_LEVELS, SAFETY_TYPES
from .safety_policy import check_temperature


@dataclass
class SeparateAssessments:
    """
    What the head said of rows with several images: of each row as a whole, and of each image alone with the row's
    question. All images of a row share one softmax, in which a risky one drowns among enough clean ones.

    Args:
        rows (`torch.LongTensor` of shape `(num_assessments,)`): the row of the batch that each belongs to.
        images (`torch.LongTensor` of shape `(num_assessments,)`): the image that each read alone, -1 for all of a row.
        level_logits (`torch.FloatTensor` of shape `(num_assessments, 4)`): scores of the risk levels.
        type_logits (`torch.FloatTensor` of shape `(num_assessments, 7)`): scores of the risk types.
    """

    rows: torch.Tensor
    images: torch.Tensor
    level_logits: torch.Tensor
    type_logits: torch.Tensor

    def find_gravest(self) -> torch.Tensor:
        """
        Which assessment decides for each row that has some, a bool tensor of shape `(num_assessments,)`: one that is
        not finite, else the one of the highest level among those that find a risk by level and type, or among all
        where none does; of several the one that gives "none" the least probability. Independent of any policy.
        """
        level, is_safe = self.level_logits.argmax(dim=-1), self.type_logits.argmax(dim=-1) == SAFE_TYPE_ID
        found = ((level > 0) & ~is_safe).double() * len(SAFETY_LEVELS)
        risk = 1 - self.level_logits.double().softmax(dim=-1)[:, 0]
        is_finite = self.level_logits.isfinite().all(dim=-1) & self.type_logits.isfinite().all(dim=-1)
        # Less than a level apart, whatever the probabilities.
        gravity = (found + level + 0.5 * risk).where(is_finite, torch.inf)
        by_row: dict[int, int] = {}
        gravities = gravity.tolist()
        for index, row in enumerate(self.rows.tolist()):
            if row not in by_row or gravities[index] > gravities[by_row[row]]:
                by_row[row] = index
        decides = torch.zeros_like(self.rows, dtype=torch.bool)
        decides[list(by_row.values())] = True
        return decides

    def settle(
        self, level_logits: torch.Tensor, type_logits: torch.Tensor, image_rows: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """
        The logits of a batch with those of the gravest assessments in place, and for each image the row whose deciding
        assessment read it, -1 where it read another image alone. From the logits that each row has as a whole, and
        the row that each image belongs to.
        """
        decides = self.find_gravest()
        rows, images = self.rows[decides], self.images[decides]
        alone = torch.full_like(level_logits[:, 0], -1, dtype=torch.long).index_copy(0, rows, images)[image_rows]
        is_read = (alone < 0) | (alone == torch.arange(len(alone), device=alone.device))
        return (
            level_logits.index_copy(0, rows, self.level_logits[decides]),
            type_logits.index_copy(0, rows, self.type_logits[decides]),
            image_rows.where(is_read, -1),
        )

    def to_rows(self) -> list[tuple[int, int, list[float]]]:
        """For each assessment its row, its level and the probabilities of its types."""
        levels, type_probs = self.level_logits.argmax(dim=-1).tolist(), self.type_logits.softmax(dim=-1).tolist()
        return list(zip(self.rows.tolist(), levels, type_probs))


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
            False where the verdict cannot be believed: NaN, weights that the checkpoint lacked, or safety modules that
            were never trained. Such a row counts as high risk.
        evidence ([`SafetyEvidence`], *optional*, returned with `return_evidence=True`):
            The patches and words that speak for each row's risk.
        separate ([`SeparateAssessments`], *optional*):
            Of rows with several images, whose gravest assessment the row's verdict is, all assessments.

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

    def __len__(self) -> int:
        return len(self.level_logits)

    def with_temperature(self, level: float = 1.0, type: float = 1.0) -> "SafetyVerdict":
        """
        A copy with the logits of levels and types divided by these numbers (arXiv 1706.04599). Raises a `ValueError`
        where one is out of the range that a policy may have.
        """
        check_temperature("temperature.level", level)
        check_temperature("temperature.type", type)
        separate = self.separate
        if separate is not None:
            separate = replace(
                separate, level_logits=separate.level_logits / level, type_logits=separate.type_logits / type
            )
        return replace(
            self, level_logits=self.level_logits / level, type_logits=self.type_logits / type, separate=separate
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
    def levels(self) -> list[str]:
        """Name of the risk level of each row."""
        return [SAFETY_LEVELS[index] for index in self.level.tolist()]

    @property
    def types(self) -> list[str]:
        """Name of the most probable risk type of each row."""
        return [SAFETY_TYPES[index] for index in self.type.tolist()]

    def to_list(self) -> list[dict[str, Any]]:
        """One JSON-ready dictionary per row: level, type, all probabilities, has_image, trusted."""
        columns = {
            "level": self.levels,
            "type": self.types,
            "level_probs": [dict(zip(SAFETY_LEVELS, row)) for row in self.level_probs.tolist()],
            "type_probs": [dict(zip(SAFETY_TYPES, row)) for row in self.type_probs.tolist()],
            "has_image": self.has_image.tolist(),
            "trusted": self.trusted.tolist(),
        }
        return [dict(zip(columns, row)) for row in zip(*columns.values())]
