"""Figures from answers about this world's scenes."""

from collections.abc import Sequence
from typing import Any

from datasets import Dataset

from ..answer_scoring import score_by_claim, score_rows
from .world_answers import GRAMMAR


def score_answers(dataset: Dataset, answers: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """
    [`~safe_llava.answer_scoring.score_rows`], manners read by their wording and exact answers compared leniently.

    Args:
        dataset ([`~datasets.Dataset`]): rows of [`~safe_llava.smol.world_dataset.build_dataset`].
        answers (`Sequence[dict]`): one for each row, from [`~safe_llava.inference.answer_dataset`].
    """
    return score_rows(dataset, answers, GRAMMAR)


def score_claims(benchmark: Dataset, answers: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """[`score_answers`] for each claim of [`~safe_llava.smol.world_benchmark.build_benchmark`]."""
    return score_by_claim(benchmark, answers, GRAMMAR)
