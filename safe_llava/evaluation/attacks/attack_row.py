"""One row that is attacked: what is asked about which images, and the risk that must not be answered freely."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from PIL.Image import Image

from ...data.encoded_images import keep_images_encoded
from ...models.image_reading import read_image
from ...world import World


TEXT_RISKY = "text_risky"
"""The kind of rows whose risk is in the text alone, whatever the image shows."""
_FIRST_DRAW = 3
"""Rows drawn for each risky one that is wanted; about every third is risky."""


@dataclass(frozen=True)
class AttackRow:
    """
    A row before or after an attack has changed it.

    Args:
        key (`str`): names the row as it was before: a digest of its words and images.
        kind (`str`): which phenomenon it shows, as its world says.
        messages (`tuple[dict, ...]`): the turns, each with `role` and `content`, the last one the question.
        images (`tuple[PIL.Image.Image, ...]`): its images, which stand before the words of the first turn.
        safety_level (`int`): the risk, an index into `SAFETY_LEVELS`.
        safety_type (`int`): its type, an index into `SAFETY_TYPES`.
        target (`str`): what a model without safety would say.
        begun (`str`, *optional*, defaults to `""`): how the answer begins already, if the attacker may write that.
    """

    key: str
    kind: str
    messages: tuple[dict[str, str], ...]
    images: tuple[Image, ...] = field(repr=False)
    safety_level: int
    safety_type: int
    target: str
    begun: str = ""

    @property
    def question(self) -> str:
        """The words of the last turn."""
        return self.messages[-1]["content"]

    def chat(self) -> list[dict[str, Any]]:
        """The turns as chat templates take them, with a begun answer as the last one."""
        turns: list[dict[str, Any]] = [
            {"role": turn["role"], "content": [{"type": "text", "text": turn["content"]}]} for turn in self.messages
        ]
        turns[0]["content"] = [{"type": "image"}] * len(self.images) + turns[0]["content"]
        if self.begun:
            turns.append({"role": "assistant", "content": [{"type": "text", "text": self.begun}]})
        return turns


def draw_risky_rows(world: World, num_rows: int, seed: int = 0, split: str = "test") -> list[AttackRow]:
    """
    Draws rows with an image and a risk, of every kind that a world has.

    Args:
        world ([`~safe_llava.world.World`]): where.
        num_rows (`int`): how many.
        seed (`int`, *optional*, defaults to 0): the same arguments give the same rows.
        split (`str`, *optional*, defaults to `"test"`): a split of the world.
    """
    size = _FIRST_DRAW * num_rows
    while True:
        drawn = keep_images_encoded(world.build_dataset(split, size, seed))
        risky = [
            number
            for number, (level, images) in enumerate(zip(drawn["safety_level"], drawn["images"]))
            if level > 0 and images
        ]
        # Of two rows that are the same one is enough.
        rows = list({row.key: row for row in map(_read_row, drawn.select(risky))}.values())
        if len(rows) >= num_rows:
            return rows[:num_rows]
        size *= 2


def _read_row(row: dict[str, Any]) -> AttackRow:
    images = [read_image(image).image for image in row["images"]]
    messages = [{"role": turn["role"], "content": turn["content"]} for turn in row["messages"][:-1]]
    return AttackRow(
        key=_digest(messages, images),
        kind=row["kind"],
        messages=tuple(messages),
        images=tuple(images),
        safety_level=row["safety_level"],
        safety_type=row["safety_type"],
        target=row["answer"],
    )


def _digest(messages: Sequence[dict[str, str]], images: Sequence[Image]) -> str:
    digest = hashlib.sha256(repr(messages).encode())
    for image in images:
        digest.update(repr(image.size).encode() + image.tobytes())
    return digest.hexdigest()[:12]
