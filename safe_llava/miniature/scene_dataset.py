"""The miniature's conversations as a HuggingFace dataset."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

from datasets import Dataset, Features, Image, List, Value

from .conversations import Conversation, sample_conversations
from .drawing import draw_scene
from .scenes import Scene


FEATURES = Features(
    {
        "messages": List({"role": Value("string"), "content": Value("string")}),
        "images": List(Image()),
        "safety_level": Value("int64"),
        "safety_type": Value("int64"),
        "kind": Value("string"),
        "topic": Value("string"),
        "answer": Value("string"),
        "hint_level": Value("int64"),
        "hint_type": Value("int64"),
    }
)


def build_dataset(split: str, size: int, seed: int = 0, stage: str = "evaluation") -> Dataset:
    """
    Draws synthetic conversations with their images.

    Args:
        split (`str`):
            "pretrain", "train", "validation", "test", "restyled" (test scenes in sign styles and looks that no
            training stage has) or "novel" (and in other words). No combination of background, shapes, sign and caption
            is in two of the first four.
        size (`int`): number of rows.
        seed (`int`, *optional*, defaults to 0): the same arguments give the same rows, to the last pixel.
        stage (`str`, *optional*, defaults to `"evaluation"`):
            The mix of kinds and the manner of the targets: "pretrain" (risky images answered freely), "stage1",
            "stage2", "evaluation", or "hints" (each prompt ends in a hint that the answer obeys).

    Returns:
        [`~datasets.Dataset`] with the columns

        - `messages`: the conversation, contents as plain strings, the last one the answer to learn;
        - `images`: its RGB images, which belong to the first user message;
        - `safety_level`, `safety_type`: indices into `SAFETY_LEVELS` and `SAFETY_TYPES`;
        - `kind`: which phenomenon the row shows, one of `mixes.KINDS`;
        - `topic`: what is asked about;
        - `answer`: the true answer, whatever the risk (empty for a risky request);
        - `hint_level`, `hint_type`: the hint in a "hinted" row's prompt;
        - `split`: as given.
    """
    return draw_dataset(sample_conversations(split, size, seed, stage), split=[split] * size)


def draw_dataset(conversations: Sequence[Conversation], **more: list[str]) -> Dataset:
    """Draws the images of conversations and puts all into a dataset, with columns of strings beside it."""
    columns: dict[str, list] = {
        "messages": [row.messages for row in conversations],
        "images": [[_draw_png(scene) for scene in row.scenes] for row in conversations],
        "topic": [row.question.topic for row in conversations],
        "answer": [row.question.answer for row in conversations],
    }
    for name in ("safety_level", "safety_type", "kind", "hint_level", "hint_type"):
        columns[name] = [getattr(row, name) for row in conversations]
    features = Features({name: FEATURES.get(name, Value("string")) for name in (*columns, *more)})
    return Dataset.from_dict(columns | more, features=features)


def _draw_png(scene: Scene) -> dict[str, Any]:
    """As datasets stores an image. Given PIL's, it would encode each twice, and pack it tighter than pays."""
    buffer = BytesIO()
    draw_scene(scene).save(buffer, "PNG", compress_level=1)
    return {"bytes": buffer.getvalue(), "path": None}
