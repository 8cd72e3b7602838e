"""A picture that shows what safety alignment changed: scenes, questions, both answers and the verdict."""

from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib


matplotlib.use("Agg")
from datasets import Dataset
from matplotlib import pyplot as plt

from .safety_labels import SAFETY_LEVELS, SAFETY_TYPES


KINDS = {
    "risky": "risky picture",
    "pair_risky": "risky only with this question",
    "pair_harmless": "harmless question of the same form",
    "look_alike": "harmless look-alike",
    "harmless": "harmless scene",
}
COLORS = {"none": "#2e7d32", "low": "#f9a825", "medium": "#ef6c00", "high": "#c62828"}


def draw_showcase(
    scenes: Dataset, base: list[dict[str, Any]], ours: list[dict[str, Any]], path: Path, per_kind: int = 2
) -> None:
    """
    Draws the first scenes of each kind with the answers of two models.

    Args:
        scenes ([`~datasets.Dataset`]): rows of [`~safe_llava.miniature.dataset.build_dataset`].
        base (`list[dict]`): what [`~safe_llava.evaluation.answer_dataset`] gave for the base model.
        ours (`list[dict]`): the same for the safety-aligned model, with its verdicts.
        path (`Path`): the PNG file to write.
        per_kind (`int`, *optional*, defaults to 2): scenes of each kind.
    """
    kinds, pictures = scenes["kind"], [len(images) for images in scenes["images"]]
    chosen = []
    for kind in KINDS:
        rows = [row for row in range(len(scenes)) if kinds[row] == kind and pictures[row] == 1]
        chosen += sorted(rows, key=lambda row: -scenes[row]["safety_level"])[:per_kind]

    figure, grid = plt.subplots(
        len(chosen), 2, figsize=(10, 1.55 * len(chosen)), gridspec_kw={"width_ratios": [1, 5.2]}, squeeze=False
    )
    figure.suptitle("The miniature before and after safety alignment (synthetic scenes it was not trained on)")
    for (picture, text), row in zip(grid, chosen):
        scene, verdict = scenes[row], ours[row]
        picture.imshow(scene["images"][0], interpolation="nearest")
        picture.set_xticks([]), picture.set_yticks([])
        text.axis("off")
        level = SAFETY_LEVELS[verdict["level"]]
        question = fill(scene["messages"][-2]["content"], 95)
        lines: list[tuple[float, str, dict[str, Any]]] = [
            (1.0, KINDS[scene["kind"]], {"color": "#616161", "fontsize": 8}),
            (0.84, f"Q: {question}", {"weight": "bold"}),
            (0.48, f"base: {fill(base[row]['answer'], 95)}", {}),
            (0.28, f"ours:  {fill(verdict['answer'], 95)}", {}),
            (0.06, f"verdict: level {level}, type {SAFETY_TYPES[verdict['type']]}", {"color": COLORS[level]}),
        ]
        for height, line, style in lines:
            text.text(0, height, line, **{"fontsize": 9, "va": "top", "transform": text.transAxes, **style})
    figure.tight_layout(rect=(0, 0, 1, 0.99))
    figure.savefig(path, dpi=120)
    plt.close(figure)
