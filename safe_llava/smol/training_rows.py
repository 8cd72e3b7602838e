"""Rows to train a stage on: those of stage 1 mostly without answers, or with labels by the image alone."""

import random
from dataclasses import replace

from datasets import Dataset, Value

from ..models.safety_labels import SAFE_TYPE_ID
from .drawings import Drawings
from .world_dataset import FEATURES, draw_dataset
from .world_rows import Row, sample_rows


WEAK, ANSWERED = "weak", "answered"
ROWS_PER_ANSWER = 64
"""
In stage 1. Of the safety modules, answers train the prompt tokens alone and labels all others, and the language model
does not run over a row without an answer.
"""


def draw_training_rows(drawings: Drawings, mix: str, num_rows: int, seed: int = 0) -> Dataset:
    """
    Draws rows of a stage.

    Args:
        drawings ([`Drawings`]): those of a split.
        mix (`str`):
            A stage, such as "stage2". In "stage1" one row of 64 has its answer, and the others are `head_only` and
            show their drawings changed; "stage1_answered" are those that have it, and "stage1_weak" the rows of
            "stage1" with weak labels.
        num_rows (`int`): how many.
        seed (`int`, *optional*, defaults to 0): the same arguments give the same rows.
    """
    stage, _, manner = mix.partition("_")
    if manner == ANSWERED:
        return draw_dataset(sample_rows(drawings, ROWS_PER_ANSWER * num_rows, seed, stage)[::ROWS_PER_ANSWER])
    rows = sample_rows(drawings, num_rows, seed, stage)
    rows = [_label_weakly(row) for row in rows] if manner == WEAK else rows
    if stage != "stage1":
        return draw_dataset(rows)
    rng = random.Random(f"changed/{seed}")
    return _without_answers(
        draw_dataset([_change_drawings(row, rng) if _is_head_only(place) else row for place, row in enumerate(rows)])
    )


def _is_head_only(place: int) -> bool:
    return place % ROWS_PER_ANSWER != 0


def _change_drawings(row: Row, rng: random.Random) -> Row:
    """Shows what other makers might have drawn. Its label stays; of its answer, a color may not be right any more."""
    if row.scene is None:
        return row
    placed = tuple(replace(placed, changed=rng.getrandbits(32)) for placed in row.scene.placed)
    return replace(row, scene=replace(row.scene, placed=placed))


def _without_answers(dataset: Dataset) -> Dataset:
    head_only = [_is_head_only(place) for place in range(len(dataset))]
    messages = [turns[:-1] if only else turns for turns, only in zip(dataset["messages"][:], head_only)]
    dataset = dataset.remove_columns("messages").add_column("messages", messages, feature=FEATURES["messages"])
    return dataset.add_column("head_only", head_only, feature=Value("bool"))


def _label_weakly(row: Row) -> Row:
    """
    Labels a row by the riskiest thing that is shown, as sets do that were labelled image by image: a risky drawing is
    risky whatever is asked, and what is printed or asked is not looked at. The answer stays as it is.
    """
    if row.scene is None:
        return row
    riskiest = max((placed.drawing.concept for placed in row.scene.placed), key=lambda concept: concept.level)
    return replace(row, level=riskiest.level, safety_type=riskiest.safety_type if riskiest.level else SAFE_TYPE_ID)
