"""How well a tower tells what is drawn by makers that it never saw: by the nearest drawing of those it was shown."""

import io
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import torch
from PIL import Image
from torch.nn import functional as F

from safe_llava.smol.drawings import SPLIT_MAKERS

from .drawing_views import SINGLE_SIZE, as_pixels
from .gates import share


MIN_GAIN = 0.1
GROUPS = ("activities", "animals-nature", "food-drink", "objects")
"""What has a name of its own: no faces, flags, signs or clock times."""


def measure(tower: torch.nn.Module, drawings: pd.DataFrame, num_rows: int | None = None) -> dict[str, Any]:
    """
    Names each drawing of the makers held out by the nearest one of the training makers.

    Args:
        tower ([`~torch.nn.Module`]): gives `last_hidden_state`, whose mean over cells is compared by its angle.
        drawings (`pd.DataFrame`): all drawings. What every training maker has drawn is named.
        num_rows (`int`, *optional*): so many drawings of each maker, for a quick look. Defaults to all.

    Returns:
        `dict`: by maker `value`, `interval` (95 %) and `rows`.
    """
    drawings = drawings[drawings.group.isin(GROUPS)]
    shown = drawings[drawings.maker.isin(SPLIT_MAKERS["train"])]
    makers = shown.groupby("concept").maker.nunique()
    shown = shown[shown.concept.isin(makers[makers == len(SPLIT_MAKERS["train"])].index)]
    shown = shown[:num_rows]
    known = _features(tower, shown.image)
    figures = {}
    for maker in (*SPLIT_MAKERS["validation"], *SPLIT_MAKERS["test"]):
        asked = drawings[(drawings.maker == maker) & drawings.concept.isin(shown.concept)][:num_rows]
        nearest = (_features(tower, asked.image) @ known.T).argmax(1)
        right = (shown.concept.to_numpy()[nearest] == asked.concept.to_numpy()).tolist()
        figures[maker] = share(right)
    return figures


def find_missed(tuned: Mapping[str, Any], frozen: Mapping[str, Any]) -> list[str]:
    """The makers whose drawings the tuned tower does not name better enough than the frozen one, in words."""
    return [
        f"of {maker}'s drawings {tuned[maker]['value']:.1%} are named, {frozen[maker]['value']:.1%} by frozen "
        f"features; the gain was to be {MIN_GAIN:.0%}."
        for maker in tuned
        if tuned[maker]["value"] < frozen[maker]["value"] + MIN_GAIN
    ]


@torch.inference_mode()
def _features(tower: torch.nn.Module, images: Iterable[dict], batch_size: int = 64) -> torch.Tensor:
    pixels = torch.stack([as_pixels(_on_white(image["bytes"])) for image in images])
    pooled = [tower(batch).last_hidden_state.mean(1) for batch in pixels.split(batch_size)]
    return F.normalize(torch.cat(pooled), dim=-1)


def _on_white(encoded: bytes) -> Image.Image:
    drawing = Image.open(io.BytesIO(encoded)).convert("RGBA").resize((SINGLE_SIZE, SINGLE_SIZE))
    canvas = Image.new("RGB", drawing.size, (255, 255, 255))
    canvas.paste(drawing, mask=drawing)
    return canvas
