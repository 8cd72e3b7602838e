"""A scene: one to four drawings on a background, perhaps with printed words, as a 224 x 224 RGB image."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..miniature.corruption import corrupt
from .backgrounds import BACKGROUNDS, draw_background
from .changed_drawings import change
from .drawings import Drawing


IMAGE_SIZE = 224
STRIP_HEIGHT = 40
CORRUPTIONS = ("noise", "blur", "jpeg")
DAMAGE = 3.0
"""Damage beside that of the miniature's images, which are a fifth as wide."""
LAYOUTS: dict[int, tuple[tuple[str, ...], ...]] = {
    1: (("in the middle",),),
    2: (("on the left", "on the right"), ("at the top", "at the bottom")),
    3: (
        ("at the top left", "at the top right", "at the bottom"),
        ("at the top", "at the bottom left", "at the bottom right"),
    ),
    4: (("at the top left", "at the top right", "at the bottom left", "at the bottom right"),),
}
"""Where drawings stand, by how many there are, in reading order."""
SIZES: dict[int, tuple[int, int]] = {1: (80, 150), 2: (60, 104), 3: (48, 92), 4: (44, 90)}
CROWD_SIZES = (44, 60)
"""Sides of the smaller drawings beside a main one."""


@dataclass(frozen=True)
class Placed:
    """
    A drawing at its place: `where` in words, the middle in pixels, its longer side, its tilt in degrees, and the seed
    of its [`change`] where it is shown changed.
    """

    drawing: Drawing
    where: str
    center: tuple[int, int]
    size: int
    tilt: float
    changed: int | None = None

    @property
    def name(self) -> str:
        return self.drawing.concept.name


@dataclass(frozen=True)
class Scene:
    """
    What an image shows.

    Args:
        placed (`tuple[Placed, ...]`): the drawings in reading order.
        main (`int`): which of them "this" means, where a question says so.
        background (`str`): one of `BACKGROUNDS`.
        seed (`int`): of the background's pixels.
        caption (`str`, *optional*): words printed on a strip.
        corruption (`str`, *optional*): damage to the image, one of `CORRUPTIONS`.
    """

    placed: tuple[Placed, ...]
    main: int
    background: str
    seed: int
    caption: str | None = None
    corruption: str | None = None

    @property
    def subject(self) -> Drawing:
        return self.placed[self.main].drawing

    @property
    def names(self) -> list[str]:
        return [placed.name for placed in self.placed]

    @property
    def held_out(self) -> bool:
        return any(placed.drawing.concept.held_out for placed in self.placed)

    @property
    def alone(self) -> tuple[int, int]:
        """Level and type of the risk that the image has whatever is asked."""
        riskiest = max((placed.drawing.concept for placed in self.placed), key=lambda concept: concept.alone)
        return riskiest.alone, riskiest.safety_type


def compose(rng: random.Random, drawings: Sequence[Drawing], caption: str | None = None, crowd: bool = False) -> Scene:
    """
    Places drawings at random.

    Args:
        rng (`random.Random`): source of all randomness.
        drawings (`Sequence[Drawing]`): one to four; the first is what the image is about.
        caption (`str`, *optional*): words to print.
        crowd (`bool`, *optional*, defaults to `False`): whether all but the first are drawn small.
    """
    order = list(range(len(drawings)))
    rng.shuffle(order)
    layout = rng.choice(LAYOUTS[len(drawings)])
    height = IMAGE_SIZE - (STRIP_HEIGHT if caption else 0)
    placed = []
    for where, index in zip(layout, order):
        least, most = SIZES[len(drawings)]
        if crowd and len(drawings) > 1:
            least, most = CROWD_SIZES if index else (most - 12, most)
        width = IMAGE_SIZE / (2 if "left" in where or "right" in where else 1)
        tall = height / (2 if "top" in where or "bottom" in where else 1)
        size = min(rng.randint(least, most), int(0.9 * min(width, tall)))
        left = width if "right" in where else 0
        top = tall if "bottom" in where else 0
        slack_x, slack_y = (max(0.0, side - 1.12 * size) / 2 for side in (width, tall))  # A tilt needs room.
        center = (
            round(left + width / 2 + rng.uniform(-slack_x, slack_x)),
            round(top + tall / 2 + rng.uniform(-slack_y, slack_y)),
        )
        placed.append(Placed(drawings[index], where, center, size, rng.uniform(-12, 12)))
    photographic = [name for name in BACKGROUNDS if name not in ("white", "plain")]
    background = rng.choice(photographic) if rng.random() < 0.65 else rng.choice(("white", "plain"))
    return Scene(tuple(placed), order.index(0), background, rng.getrandbits(32), caption)


def draw_scene(scene: Scene) -> Image.Image:
    """Draws a scene; the same scene gives the same pixels."""
    generator = np.random.default_rng(scene.seed)
    canvas = draw_background(IMAGE_SIZE, scene.background, generator)
    for placed in scene.placed:
        image = placed.drawing.image
        scale = placed.size / max(image.size)
        image = image.resize([max(1, round(side * scale)) for side in image.size], Image.Resampling.BILINEAR)
        if placed.changed is not None:
            image = change(image, random.Random(placed.changed))
        image = image.rotate(placed.tilt, Image.Resampling.BILINEAR, expand=True)
        corner = (placed.center[0] - image.width // 2, placed.center[1] - image.height // 2)
        canvas.paste(image, corner, image)
    if scene.caption:
        _print_caption(canvas, scene.caption, bool(scene.seed % 2))
    return corrupt(canvas, scene.corruption, generator, DAMAGE) if scene.corruption else canvas


def _print_caption(canvas: Image.Image, words: str, dark: bool) -> None:
    paper, ink = ((25, 25, 30), (245, 245, 245)) if dark else ((250, 250, 250), (15, 15, 20))
    draw = ImageDraw.Draw(canvas)
    draw.rectangle([0, IMAGE_SIZE - STRIP_HEIGHT, IMAGE_SIZE, IMAGE_SIZE], fill=paper)
    font = ImageFont.load_default(size=22)
    center = (IMAGE_SIZE / 2, IMAGE_SIZE - STRIP_HEIGHT / 2)
    draw.text(center, words, fill=ink, font=font, anchor="mm", stroke_width=1, stroke_fill=ink)
