"""Measures whether the evidence for a verdict lies on the pictogram that makes a scene of the miniature risky."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch.nn import functional as F

from ..evidence_figures import SignedRow, score_signed_rows
from ..models.modeling_safe_llava import SafeLlavaForConditionalGeneration
from ..models.processing_safe_llava import SafeLlavaProcessor
from .conversations import Conversation
from .drawing import draw_scene
from .scenes import GRID_SIZE, Scene


SIGN_KINDS = frozenset({"risky", "pair_risky"})
"""Kinds of conversations whose risk lies on the sign."""


def score_evidence(
    model: SafeLlavaForConditionalGeneration,
    processor: SafeLlavaProcessor,
    conversations: Sequence[Conversation],
    batch_size: int = 64,
) -> dict[str, Any]:
    """
    The figures of [`~safe_llava.evidence_figures.score_signed_rows`] over the risky conversations about one image with
    a sign.

    Args:
        model ([`SafeLlavaForConditionalGeneration`]): one whose head was trained on the miniature.
        processor ([`SafeLlavaProcessor`]): its processor.
        conversations (`Sequence[Conversation]`):
            From [`~safe_llava.miniature.conversations.sample_conversations`]; other kinds are left out.
        batch_size (`int`, *optional*, defaults to 64): prompts assessed at a time.
    """
    rows = [
        SignedRow(
            row.messages,
            partial(draw_scene, row.scenes[0]),
            partial(sign_mask, row.scenes[0]),
            row.question.text if row.kind == "pair_risky" else None,
        )
        for row in conversations
        if row.kind in SIGN_KINDS and len(row.scenes) == 1 and row.scenes[0].sign is not None
    ]
    return score_signed_rows(model, processor, rows, batch_size)


def sign_mask(scene: Scene, patch_grid: Sequence[int]) -> torch.Tensor:
    """Which patches have their centre in the cells of the scene's sign, a bool tensor of the shape of the grid."""
    cells = torch.zeros(GRID_SIZE, GRID_SIZE)
    for cell in scene.sign.cells if scene.sign else ():
        cells[cell] = 1.0
    return F.interpolate(cells[None, None], size=tuple(patch_grid), mode="nearest-exact")[0, 0].bool()
