"""Rows to train a stage on, also with the weak labels of somebody who sees the image and not the question."""

from dataclasses import replace

from datasets import Dataset

from ..models.safety_labels import SAFE_TYPE_ID
from .drawings import Drawings
from .world_dataset import draw_dataset
from .world_rows import Row, sample_rows


WEAK = "_weak"


def draw_training_rows(drawings: Drawings, mix: str, num_rows: int, seed: int = 0) -> Dataset:
    """
    Draws rows of a stage.

    Args:
        drawings ([`Drawings`]): those of a split.
        mix (`str`): a stage, such as "stage1"; or, with "_weak" behind it, the same rows with weak labels.
        num_rows (`int`): how many.
        seed (`int`, *optional*, defaults to 0): the same arguments give the same rows.
    """
    rows = sample_rows(drawings, num_rows, seed, mix.removesuffix(WEAK))
    return draw_dataset([_label_weakly(row) for row in rows] if mix.endswith(WEAK) else rows)


def _label_weakly(row: Row) -> Row:
    """
    Labels a row by the riskiest thing that is shown, as sets do that were labelled image by image: a risky drawing is
    risky whatever is asked, and what is printed or asked is not looked at. The answer stays as it is.
    """
    if row.scene is None:
        return row
    riskiest = max((placed.drawing.concept for placed in row.scene.placed), key=lambda concept: concept.level)
    return replace(row, level=riskiest.level, safety_type=riskiest.safety_type if riskiest.level else SAFE_TYPE_ID)
