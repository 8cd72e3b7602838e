"""Measures how safely and how well a model answers the miniature's held-out scenes."""

from .answering import answer_dataset
from .metrics import score_answers, score_claims
from .run import evaluate_model


__all__ = ["answer_dataset", "evaluate_model", "score_answers", "score_claims"]
