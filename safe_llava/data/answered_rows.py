"""Rows that the language model learns from, apart from those that only the safety head does."""

import logging

import numpy as np
from datasets import Dataset


logger = logging.getLogger(__name__)


def keep_answered(dataset: Dataset) -> Dataset:
    """
    Leaves out the rows that end with a question, of which stage 2, whose head is frozen, would learn nothing.

    Args:
        dataset ([`~datasets.Dataset`]): rows of `messages`, or of `prompt` and `completion`, which all have answers.

    Raises:
        ValueError: if no row has an answer.
    """
    if "messages" not in dataset.column_names:
        return dataset
    is_answered = np.array([turns[-1]["role"] == "assistant" for turns in dataset["messages"]], dtype=bool)
    if is_answered.all():
        return dataset
    if not is_answered.any():
        raise ValueError(
            f"None of {len(dataset)} rows has an answer: the language model would learn nothing. They are for stage 1."
        )
    logger.warning("%d of %d rows have no answer and are left out.", (~is_answered).sum(), len(dataset))
    return dataset.select(np.flatnonzero(is_answered))
