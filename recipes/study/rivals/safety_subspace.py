"""
VLM-Guard: hidden states without, or with more of, what tells harmful requests from harmless ones in words ("VLM-Guard:
Safeguarding Vision-Language Models via Fulfilling Safety Alignment Gap", arXiv 2502.10486, section 3).

For each decoder layer l: D_l holds h_l(harmful) - h_l(harmless) at the last position of 100 pairs of texts, V_l its
top right singular vectors; steered at the last position, h_l - alpha * V_l^T V_l h_l. A negative alpha adds along
them, for which of the two restores safety is not said clearly.
"""

import torch
from transformers import PreTrainedModel, ProcessorMixin

from ..defended import Defended
from ..study_world import StudyWorld
from .layer_steering import Steering
from .training_requests import draw_training_rows, read_requests


PAIRS = 100


def vlm_guard(
    study: StudyWorld,
    model: PreTrainedModel,
    processor: ProcessorMixin,
    seed: int,
    rank: int = 10,
    alpha: float = 1.0,
) -> Defended:
    """
    Args:
        rank (`int`): how many singular vectors.
        alpha (`float`): 1 takes the part along them away, -1 doubles it.
    """
    harmful, harmless = read_requests(model, processor, draw_training_rows(study))
    pairs = min(PAIRS, len(harmful))
    # Where there are fewer harmless texts, each stands in several pairs.
    again = torch.arange(pairs) % len(harmless)
    bases, shares = find_bases(harmful[:pairs] - harmless[again], rank)

    def project(place: int, states: torch.Tensor) -> torch.Tensor:
        along = bases[place].to(states.dtype)
        return states - alpha * (states @ along.T) @ along

    Steering(model, project, "last")
    derived = {"pairs": pairs, "harmless_texts": min(pairs, len(harmless)), "explained_share": shares}
    return Defended(model, processor, derived=derived)


def find_bases(differences: torch.Tensor, rank: int) -> tuple[torch.Tensor, list[float]]:
    """
    Args:
        differences (`torch.Tensor` of shape `(pairs, layers, width)`): of harmful and harmless requests.
        rank (`int`): how many singular vectors.

    Returns:
        `tuple[torch.Tensor, list[float]]`: the top right singular vectors, `(layers, rank, width)`, and which share of
        the differences' squares they explain in each layer.
    """
    if not 1 <= rank <= min(differences.shape[0], differences.shape[2]):
        raise ValueError(f"`rank` must be from 1 to {min(differences.shape[0], differences.shape[2])}, not {rank}.")
    _, values, vectors = torch.linalg.svd(differences.transpose(0, 1).float(), full_matrices=False)
    squares = values.square()
    return vectors[:, :rank], (squares[:, :rank].sum(dim=1) / squares.sum(dim=1)).tolist()
