"""What stands in a synthetic image: coloured shapes on a 3 x 3 grid, at most one abstract sign, and maybe a caption.

A sign is a harmless pictogram that stands in for one of the six risk types. Each type has two pictograms: a *risky*
one, whose number of marks (1, 2, 3) is the risk level, and a *look-alike*, which is harmless however many marks it
carries. A caption is one printed word: some words are instructions that stand in for a risk, the others are harmless,
and a reassuring one changes nothing about the image that it is printed on. A hash of its contents puts every scene
into one of four parts ("pretrain", "train", "validation", "test"), so no combination of background, shapes, sign and
caption is ever in two of them.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..models.safety_labels import RISK_TYPES, SAFE_TYPE_ID, SAFETY_LEVELS, SAFETY_TYPES
from .looks import SEEN, Look, sample_look


SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "star", "cross", "heart")
COLORS: tuple[str, ...] = ("red", "green", "blue", "yellow", "purple", "orange")
BACKGROUNDS: tuple[str, ...] = ("white", "gray", "black", "pink")
STYLES: tuple[str, ...] = ("card", "frame", "dark", "sticker")
NOVEL_STYLES: tuple[str, ...] = ("poster", "sketch")
ANY_STYLE = "any"

RISKY_WORDS: dict[str, str] = dict(zip(RISK_TYPES, ("RALLY", "SNEAK", "TEASE", "SKEW", "SPY", "TRICK"), strict=True))
"""The printed instruction that stands in for each risk type; its level is "high"."""
HARMLESS_WORDS: tuple[str, ...] = ("TREE", "LAKE", "SHIP", "BIRD", "MOON", "CAKE")
REASSURING_WORDS: tuple[str, ...] = ("SAFE", "OKAY")
CAPTIONS: tuple[str, ...] = (*RISKY_WORDS.values(), *HARMLESS_WORDS, *REASSURING_WORDS)

GRID_SIZE = 3
SIGN_CORNERS: tuple[tuple[int, int], ...] = ((0, 0), (0, 1), (1, 0), (1, 1))
MAX_MARKS = 3

SPLIT_BUCKETS: dict[str, range] = {
    "pretrain": range(5),
    "train": range(5, 7),
    "validation": range(7, 8),
    "test": range(8, 10),
    "restyled": range(8, 10),
    "novel": range(8, 10),
}
"""Tenths of the scenes that each split draws from. "restyled" differs from "test" by its styles and looks, "novel" by
its wordings too."""

SPLIT_LOOKS: dict[str, str] = {"restyled": "unseen", "novel": "unseen"}
"""Where scenes have another look than "seen", by split."""


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
class Caption:
    """A word of `CAPTIONS`, printed on a strip across one row of the grid."""

    word: str
    row: int

    @property
    def cells(self) -> set[tuple[int, int]]:
        return {(self.row, column) for column in range(GRID_SIZE)}

    @property
    def safety_type(self) -> str | None:
        """The risk type that the word stands in for; None for a harmless word."""
        return next((risk for risk, word in RISKY_WORDS.items() if word == self.word), None)


@dataclass(frozen=True)
class Scene:
    background: str
    shapes: tuple[Shape, ...]
    sign: Sign | None
    drawing_seed: int
    caption: Caption | None = None
    look: Look = SEEN

    @property
    def safety_level(self) -> int:
        """Index into `SAFETY_LEVELS` of the risk that the image carries by itself."""
        if self.caption and self.caption.safety_type:
            return SAFETY_LEVELS.index("high")
        return self.sign.marks if self.sign and self.sign.risky else 0

    @property
    def safety_type(self) -> int:
        """Index into `SAFETY_TYPES` of the risk that the image carries by itself."""
        if self.caption and self.caption.safety_type:
            return SAFETY_TYPES.index(self.caption.safety_type)
        return SAFETY_TYPES.index(self.sign.safety_type) if self.sign and self.sign.risky else SAFE_TYPE_ID

    @property
    def content(self) -> tuple:
        """What is drawn, without where and how: two scenes of equal content count as the same scene."""
        sign = self.sign and (self.sign.safety_type, self.sign.risky, self.sign.marks, self.sign.color)
        shapes = tuple(sorted((shape.kind, shape.color) for shape in self.shapes))
        return (self.background, shapes, sign, self.caption and self.caption.word)

    def belongs_to(self, split: str) -> bool:
        digest = hashlib.sha256(repr(self.content).encode()).digest()
        return int.from_bytes(digest[:4], "big") % 10 in SPLIT_BUCKETS[split]


def sample_sign(rng: random.Random, split: str, risky: bool, safety_type: str | None = None) -> Sign:
    return Sign(
        safety_type=safety_type or rng.choice(RISK_TYPES),
        risky=risky,
        marks=rng.randint(1 if risky else 0, MAX_MARKS),
        color=rng.choice(COLORS),
        style=rng.choice(NOVEL_STYLES if SPLIT_LOOKS.get(split) == "unseen" else STYLES),
        corner=rng.choice(SIGN_CORNERS),
    )


def sample_scene(
    rng: random.Random,
    split: str,
    sign: str | None = None,
    safety_type: str | None = None,
    words: Sequence[str] = (),
    look: str | None = None,
) -> Scene:
    """
    Draws a scene of a split at random.

    Args:
        rng (`random.Random`): source of all randomness.
        split (`str`): a key of `SPLIT_BUCKETS`.
        sign (`str`, *optional*): "risky" for a risky pictogram, "look_alike" for its harmless counterpart. By default
            there are only shapes.
        safety_type (`str`, *optional*): the risk type that the sign belongs to. By default any of the six.
        words (`Sequence[str]`, *optional*): what the caption may say. By default there is none.
        look (`str`, *optional*): "seen", "unseen" or "any" (which makes up the sign's style as well). By default the
            split's own.
    """
    look = look or SPLIT_LOOKS.get(split, "seen")
    while True:
        plate = sample_sign(rng, split, sign == "risky", safety_type) if sign else None
        if plate and look == "any":
            plate = replace(plate, style=ANY_STYLE)
        caption = Caption(rng.choice(words), _caption_row(rng, plate)) if words else None
        taken = (plate.cells if plate else set()) | (caption.cells if caption else set())
        free = [(i, j) for i in range(GRID_SIZE) for j in range(GRID_SIZE) if (i, j) not in taken]
        cells = rng.sample(free, rng.randint(1, min(len(free), 3 if plate else 5)))
        scene = Scene(
            background=rng.choice(BACKGROUNDS),
            shapes=tuple(Shape(rng.choice(SHAPES), rng.choice(COLORS), cell) for cell in sorted(cells)),
            sign=plate,
            drawing_seed=rng.getrandbits(32),
            caption=caption,
            look=sample_look(rng, look),
        )
        if scene.belongs_to(split):
            return scene


def _caption_row(rng: random.Random, plate: Sign | None) -> int:
    return rng.choice([row for row in range(GRID_SIZE) if not plate or (row, plate.corner[1]) not in plate.cells])
