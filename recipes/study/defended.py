"""A model with whatever keeps it safe: what every way to be safe comes to, asked by the study and by attacks alike."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, ProcessorMixin

from safe_llava.inference import answer_dataset


Answers = list[dict[str, Any]]


@dataclass(frozen=True)
class Defended:
    """
    A defence ready to be asked.

    Args:
        model (`PreTrainedModel`): answers, with the defence's hooks on it, where it has any.
        processor (`ProcessorMixin`): encodes, with the defence's words, where it has any.
        answer_rows (`Callable`, *optional*):
            Answers rows with model and processor, in as many passes as it takes. By default one `generate`.
        derived (`dict[str, Any]`, *optional*): figures of what was derived for this model, such as thresholds.
    """

    model: PreTrainedModel
    processor: ProcessorMixin
    answer_rows: Callable[[PreTrainedModel, ProcessorMixin, Dataset], Answers] = answer_dataset
    derived: dict[str, Any] = field(default_factory=dict)

    def answer(self, rows: Dataset) -> Answers:
        """Answers the last question of every row, as [`~safe_llava.inference.answer_dataset`] does."""
        return self.answer_rows(self.model, self.processor, rows)
