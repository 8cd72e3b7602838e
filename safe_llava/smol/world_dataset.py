"""This world's rows as a HuggingFace dataset."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Image, List, Value

from .composition import Scene, draw_scene
from .drawings import Drawings
from .world_rows import Row, sample_rows


JPEG_QUALITY = 92
FEATURES = Features(
    {
        "messages": List({"role": Value("string"), "content": Value("string")}),
        "images": List(Image()),
        "safety_level": Value("int64"),
        "safety_type": Value("int64"),
        "kind": Value("string"),
        "topic": Value("string"),
        "answer": Value("string"),
        "concept": Value("string"),
        "concepts": List(Value("string")),
        "makers": List(Value("string")),
        "held_out": Value("bool"),
        "novel_wording": Value("bool"),
    }
)


def build_dataset(
    drawings: Dataset | str | Path | Drawings, split: str, num_rows: int, seed: int = 0, stage: str = "evaluation"
) -> Dataset:
    """
    Draws scenes with questions and answers.

    Args:
        drawings ([`~datasets.Dataset`], `str`, `Path` or [`Drawings`]):
            Rows with `maker`, `concept` and `image`, a parquet file of them, or a split of them that is already read.
        split (`str`): "train", "validation" or "test"; no maker is in two of them.
        num_rows (`int`): how many.
        seed (`int`, *optional*, defaults to 0): the same arguments give the same rows.
        stage (`str`, *optional*, defaults to `"evaluation"`):
            The mix of kinds and the manner of the answers: "base" (risky pairs answered freely, half of the rows
            naming or describing), "stage1", "stage2" or "evaluation".

    Returns:
        [`~datasets.Dataset`] with the columns

        - `messages`: the conversation, contents as plain strings, the last one the answer to learn;
        - `images`: its RGB image, or none;
        - `safety_level`, `safety_type`: indices into `SAFETY_LEVELS` and `SAFETY_TYPES`;
        - `kind`: which phenomenon the row shows, one of `world_mixes.KINDS`;
        - `topic`: what is asked about;
        - `answer`: the answer of a model that knows no risk, true where the scene decides it (empty for a request that
          is risky by its words);
        - `concept`: what the image is about; `concepts` and `makers`: what is shown, and by whom it is drawn;
        - `held_out`: whether it shows something that no training row shows;
        - `novel_wording`: whether the question is worded as in no training row;
        - `split`: as given.
    """
    if not isinstance(drawings, Drawings):
        drawings = Drawings(drawings, split)
    return draw_dataset(sample_rows(drawings, num_rows, seed, stage), split=[split] * num_rows)


def draw_dataset(rows: Sequence[Row], **more: list[str]) -> Dataset:
    """Draws the images of rows and puts all into a dataset, with columns of strings beside it."""
    scenes = [row.scene for row in rows]
    columns: dict[str, list] = {
        "messages": [row.messages for row in rows],
        "images": [[] if scene is None else [_draw_jpeg(scene)] for scene in scenes],
        "safety_level": [row.level for row in rows],
        "safety_type": [row.safety_type for row in rows],
        "kind": [row.kind for row in rows],
        "topic": [row.question.topic for row in rows],
        "answer": [row.question.answer for row in rows],
        "concept": [scene.subject.concept.name if scene else "" for scene in scenes],
        "concepts": [scene.names if scene else [] for scene in scenes],
        "makers": [[placed.drawing.maker for placed in scene.placed] if scene else [] for scene in scenes],
        "held_out": [scene is not None and scene.held_out for scene in scenes],
        "novel_wording": [row.question.novel for row in rows],
    }
    features = Features({name: FEATURES.get(name, Value("string")) for name in (*columns, *more)})
    return Dataset.from_dict(columns | more, features=features)


def _draw_jpeg(scene: Scene) -> dict[str, Any]:
    buffer = BytesIO()
    draw_scene(scene).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return {"bytes": buffer.getvalue(), "path": None}
