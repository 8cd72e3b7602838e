"""The miniature as a world to train and measure in."""

from pathlib import Path
from typing import Any

from ..model_card import SYNTHETIC
from ..question_translations import read_translations
from ..world import World
from . import CHECKPOINT
from .scene_dataset import build_dataset
from .scenes import COLORS, SHAPES
from .scoring import GRAMMAR
from .wordings import NOVEL_RISKY_REQUESTS, NOVEL_WORDINGS, RISKY_REQUESTS, WORDINGS


def _drawn_by_train(recipe: Path, fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """`recipes/train.py` draws the scenes itself."""
    return fields


MINIATURE_WORLD = World(
    name="miniature",
    data="synthetic scenes with abstract pictograms in place of risky content, drawn by safe_llava.miniature",
    dataset=SYNTHETIC,
    base=CHECKPOINT,
    conversion={"num_safety_tokens": 8, "num_safety_visual_tokens": 36},
    build_dataset=build_dataset,
    grammar=GRAMMAR,
    name_rows=_drawn_by_train,
    answer_batch_size=200,
    # Five sixths and half of the recipes', for the sake of time.
    epochs={"stage1": 2.5, "stage2": 1},
    showcase_title="The miniature before and after safety alignment, on synthetic scenes it was not trained on",
    showcase_kinds={
        "risky": "risky image",
        "pair_risky": "risky only with this question",
        "pair_harmless": "harmless question of the same form",
        "look_alike": "harmless look-alike",
        "harmless": "harmless scene",
    },
    example_topic="pair_privacy",
    on_other_images="The miniature knows drawings of coloured shapes only; of a photograph it can say little.",
    translations=read_translations(
        Path(__file__).with_name("translations.yaml"),
        {
            topic: (*wordings, novel[topic])
            for known, novel in ((WORDINGS, NOVEL_WORDINGS), (RISKY_REQUESTS, NOVEL_RISKY_REQUESTS))
            for topic, wordings in known.items()
        },
        {"color": COLORS, "shape": SHAPES},
    ),
)
