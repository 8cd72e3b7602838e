"""A picture that shows what safety alignment changed: scenes, questions, both answers and the verdict."""

from collections import Counter
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib


matplotlib.use("Agg")
from datasets import Dataset
from matplotlib import pyplot as plt

from ..models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES


KINDS = {
    "risky": "risky picture",
    "pair_risky": "risky only with this question",
    "pair_harmless": "harmless question of the same form",
    "look_alike": "harmless look-alike",
    "harmless": "harmless scene",
}
COLORS = {"none": "#2e7d32", "low": "#f9a825", "medium": "#ef6c00", "high": "#c62828"}


def draw_showcase(
    scenes: Dataset, base: list[dict[str, Any]], ours: list[dict[str, Any]], path: Path, per_kind: int = 3
) -> None:
    """
    Draws the first scenes of each kind with the answers of two models.

    Args:
        scenes ([`~datasets.Dataset`]): rows of [`~safe_llava.miniature.scene_dataset.build_dataset`].
        base (`list[dict]`): what [`~safe_llava.evaluation.answer_dataset`] gave for the base model.
        ours (`list[dict]`): the same for the safety-aligned model, with its verdicts.
        path (`Path`): the PNG file to write.
        per_kind (`int`, *optional*, defaults to 3): scenes of each kind.
    """
    chosen = [row for kind in KINDS for row in _pick(scenes, kind, per_kind)]
    figure, grid = plt.subplots(
        len(chosen), 2, figsize=(8, 1.5 * len(chosen)), gridspec_kw={"width_ratios": [1, 4]}, squeeze=False
    )
    figure.suptitle("The miniature before and after safety alignment (synthetic scenes it was not trained on)")
    for (image, text), row in zip(grid, chosen):
        scene, verdict = scenes[row], ours[row]
        image.imshow(scene["images"][0], interpolation="nearest")
        image.set_xticks([]), image.set_yticks([])
        text.axis("off")
        level = SAFETY_LEVELS[verdict["level"]]
        question = fill(scene["messages"][-2]["content"], 72)
        lines: list[tuple[float, str, dict[str, Any]]] = [
            (1.0, KINDS[scene["kind"]], {"color": "#616161", "fontsize": 8}),
            (0.84, f"Q: {question}", {"weight": "bold"}),
            (0.48, f"base: {fill(base[row]['answer'], 72)}", {}),
            (0.28, f"ours:  {fill(verdict['answer'], 72)}", {}),
            (0.06, f"verdict: level {level}, type {SAFETY_TYPES[verdict['type']]}", {"color": COLORS[level]}),
        ]
        for height, line, style in lines:
            text.text(0, height, line, **{"fontsize": 9, "va": "top", "transform": text.transAxes, **style})
    figure.tight_layout(rect=(0, 0, 1, 0.99))
    figure.savefig(path, dpi=120)
    plt.close(figure)


def _pick(scenes: Dataset, kind: str, count: int) -> list[int]:
    """The first scenes of a kind with one picture, taking risk levels in turn."""
    counts: Counter[int] = Counter()
    turns = []
    for row, (its_kind, images, level) in enumerate(zip(scenes["kind"], scenes["images"], scenes["safety_level"])):
        if its_kind == kind and len(images) == 1:
            turns.append((counts[level], -level, row))
            counts[level] += 1
    return [row for *_, row in sorted(turns)[:count]]
