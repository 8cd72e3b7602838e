"""Measures whether the evidence for a verdict lies on the drawing that makes a scene risky."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from ..evidence_figures import SignedRow, score_signed_rows
from ..models.modeling_safe_llava import SafeLlavaForConditionalGeneration
from ..models.processing_safe_llava import SafeLlavaProcessor
from .composition import IMAGE_SIZE, Scene, draw_scene
from .world_rows import Row


def score_drawing_evidence(
    model: SafeLlavaForConditionalGeneration, processor: SafeLlavaProcessor, rows: Sequence[Row], batch_size: int = 32
) -> dict[str, Any]:
    """
    The figures of [`~safe_llava.evidence_figures.score_signed_rows`] over the risky pairs whose drawing does not stand
    alone: with one drawing the background is all that evidence could miss it for.

    Args:
        model ([`SafeLlavaForConditionalGeneration`]): one whose head was trained on this world.
        processor ([`SafeLlavaProcessor`]): its processor.
        rows (`Sequence[Row]`): from [`~safe_llava.smol.world_rows.sample_rows`]; other kinds are left out.
        batch_size (`int`, *optional*, defaults to 32): prompts assessed at a time.
    """
    signed = [
        SignedRow(row.messages, partial(draw_scene, row.scene), partial(drawing_mask, row.scene), row.question.text)
        for row in rows
        if row.kind == "pair_risky" and row.scene is not None and len(row.scene.placed) > 1
    ]
    return score_signed_rows(model, processor, signed, batch_size)


def drawing_mask(scene: Scene, patch_grid: Sequence[int]) -> torch.Tensor:
    """
    Which patches share a pixel with the square around the scene's subject, a bool tensor of the shape of the grid: the
    patches of a small tower are as large as half a drawing.
    """
    placed = scene.placed[scene.main]
    inside = []
    for middle, patches in zip(reversed(placed.center), patch_grid, strict=True):
        edges = torch.arange(patches + 1) * (IMAGE_SIZE / patches)
        inside.append((edges[1:] > middle - placed.size / 2) & (edges[:-1] < middle + placed.size / 2))
    return inside[0][:, None] & inside[1][None, :]
