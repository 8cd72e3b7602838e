"""Evaluates a model in one call."""

from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, ProcessorMixin

from .answering import answer_dataset
from .metrics import score_answers


def evaluate_model(
    model: PreTrainedModel, processor: ProcessorMixin, dataset: Dataset, batch_size: int = 64, **generate_kwargs: Any
) -> dict[str, Any]:
    """Let a model answer a dataset and score what it says; see [`answer_dataset`] and [`score_answers`]."""
    return score_answers(dataset, answer_dataset(model, processor, dataset, batch_size, **generate_kwargs))
