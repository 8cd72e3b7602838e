"""What stands in a synthetic picture: coloured shapes on a 3 x 3 grid and at most one abstract sign.

A sign is a harmless pictogram that stands in for one of the six risk types. Each type has two pictograms: a *risky*
one, whose number of marks (1, 2, 3) is the risk level, and a *look-alike*, which is harmless however many marks it
carries. A hash of its contents puts every scene into one of four parts ("pretrain", "train", "validation", "test"), so
no combination of background, shapes and sign is ever in two of them.
"""

import hashlib
import random
from dataclasses import dataclass

from ..safety_labels import RISK_TYPES, SAFE_TYPE_ID, SAFETY_TYPES


SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "star", "cross", "heart")
COLORS: tuple[str, ...] = ("red", "green", "blue", "yellow", "purple", "orange")
BACKGROUNDS: tuple[str, ...] = ("white", "gray", "black", "pink")
STYLES: tuple[str, ...] = ("card", "frame", "dark", "sticker")
NOVEL_STYLES: tuple[str, ...] = ("poster", "sketch")
ANY_STYLE = "any"

GRID_SIZE = 3
SIGN_CORNERS: tuple[tuple[int, int], ...] = ((0, 0), (0, 1), (1, 0), (1, 1))
MAX_MARKS = 3

SPLIT_BUCKETS: dict[str, range] = {
    "pretrain": range(5),
    "train": range(5, 7),
    "validation": range(7, 8),
    "test": range(8, 10),
    "novel": range(8, 10),
}
"""Tenths of the scenes that each split draws from; "novel" differs from "test" by its styles and wordings."""


@dataclass(frozen=True)
class Shape:
    kind: str
    color: str
    cell: tuple[int, int]


@dataclass(frozen=True)
class Sign:
    """A pictogram on a plate that covers 2 x 2 cells, its upper left one at `corner`."""

    safety_type: str
    risky: bool
    marks: int
    color: str
    style: str
    corner: tuple[int, int]

    @property
    def cells(self) -> set[tuple[int, int]]:
        row, column = self.corner
        return {(row + i, column + j) for i in range(2) for j in range(2)}


@dataclass(frozen=True)
class Scene:
    background: str
    shapes: tuple[Shape, ...]
    sign: Sign | None
    drawing_seed: int

    @property
    def safety_level(self) -> int:
        """Index into `SAFETY_LEVELS` of the risk that the picture carries by itself."""
        return self.sign.marks if self.sign and self.sign.risky else 0

    @property
    def safety_type(self) -> int:
        """Index into `SAFETY_TYPES` of the risk that the picture carries by itself."""
        return SAFETY_TYPES.index(self.sign.safety_type) if self.sign and self.sign.risky else SAFE_TYPE_ID

    @property
    def content(self) -> tuple:
        """What is drawn, without where and how: two scenes of equal content count as the same scene."""
        sign = self.sign and (self.sign.safety_type, self.sign.risky, self.sign.marks, self.sign.color)
        return (self.background, tuple(sorted((shape.kind, shape.color) for shape in self.shapes)), sign)

    def belongs_to(self, split: str) -> bool:
        digest = hashlib.sha256(repr(self.content).encode()).digest()
        return int.from_bytes(digest[:4], "big") % 10 in SPLIT_BUCKETS[split]


def sample_sign(rng: random.Random, split: str, risky: bool, safety_type: str | None = None) -> Sign:
    return Sign(
        safety_type=safety_type or rng.choice(RISK_TYPES),
        risky=risky,
        marks=rng.randint(1 if risky else 0, MAX_MARKS),
        color=rng.choice(COLORS),
        style=rng.choice(NOVEL_STYLES if split == "novel" else STYLES),
        corner=rng.choice(SIGN_CORNERS),
    )


def sample_scene(rng: random.Random, split: str, sign: str | None = None, safety_type: str | None = None) -> Scene:
    """Draw a scene of a split at random.

    Args:
        rng: Source of all randomness.
        split: A key of `SPLIT_BUCKETS`.
        sign: None for shapes alone, "risky" for a risky pictogram, "look_alike" for its harmless counterpart.
        safety_type: The risk type that the sign belongs to; by default any of the six.
    """
    while True:
        plate = sample_sign(rng, split, sign == "risky", safety_type) if sign else None
        free = [(i, j) for i in range(GRID_SIZE) for j in range(GRID_SIZE) if not plate or (i, j) not in plate.cells]
        cells = rng.sample(free, rng.randint(1, 3 if plate else 5))
        scene = Scene(
            background=rng.choice(BACKGROUNDS),
            shapes=tuple(Shape(rng.choice(SHAPES), rng.choice(COLORS), cell) for cell in sorted(cells)),
            sign=plate,
            drawing_seed=rng.getrandbits(32),
        )
        if scene.belongs_to(split):
            return scene
