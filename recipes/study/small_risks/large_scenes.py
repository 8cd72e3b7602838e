"""Scenes of the miniature drawn large: many shapes, and at most one sign that covers a given share of the image."""

import random
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from safe_llava.miniature.drawing import CELL_PIXELS, NOISE_STD, OVERSAMPLING, draw_shape, shade
from safe_llava.miniature.palette import BACKGROUND_RGB
from safe_llava.miniature.scenes import BACKGROUNDS, COLORS, SHAPES, Shape, Sign, sample_sign
from safe_llava.miniature.signs import draw_sign
from safe_llava.models.safety_labels import SAFE_TYPE_ID, SAFETY_TYPES


AREAS = (0.005, 0.01, 0.02, 0.05, 0.2)
"""Shares of an image that a sign covers."""
CELLS = ((9, 9), (9, 6), (6, 9))
"""Heights and widths of images in cells: three times the miniature's 48 pixels, or a third less one way."""
KINDS = ("risky", "look_alike", "no_sign")
FULL_SIZE = 4 / 9
"""A sign's share of a scene of the miniature."""
TRAINING_KINDS = ("risky", "risky", "look_alike", "no_sign")
_FILLED = 0.2


class LargeScene(NamedTuple):
    """
    An image and what is in it.

    Args:
        image (`PIL.Image.Image`): in RGB.
        kind (`str`): one of [`KINDS`].
        area (`float`): the sign's share of the image, 0 without a sign.
        level, type (`int`): its risk, as indices into `SAFETY_LEVELS` and `SAFETY_TYPES`.
        sign (`Sign`, *optional*): what the sign shows.
        box (`tuple`, *optional*): its left, upper, right and lower edge in pixels.
    """

    image: Image.Image
    kind: str
    area: float
    level: int
    type: int
    sign: Sign | None = None
    box: tuple[float, ...] | None = None


def draw_large_scene(rng: random.Random, kind: str, area: float) -> LargeScene:
    """
    Draws one, in the sign styles of training.

    Args:
        rng (`random.Random`): source of all randomness.
        kind (`str`): one of [`KINDS`].
        area (`float`): the sign's share of the image.
    """
    rows, columns = rng.choice(CELLS)
    size = (columns * CELL_PIXELS * OVERSAMPLING, rows * CELL_PIXELS * OVERSAMPLING)
    canvas = Image.new("RGB", size, shade(BACKGROUND_RGB[rng.choice(BACKGROUNDS)], rng, 6))
    draw = ImageDraw.Draw(canvas)
    for place in rng.sample(range(rows * columns), round(_FILLED * rows * columns)):
        draw_shape(draw, Shape(rng.choice(SHAPES), rng.choice(COLORS), divmod(place, columns)), rng)
    level, risk_type, sign, box = 0, SAFE_TYPE_ID, None, None
    if kind != "no_sign":
        sign = sample_sign(rng, "train", kind == "risky")
        edge = round((area * size[0] * size[1]) ** 0.5)
        plate = draw_sign(sign, edge, rng)
        left, top = (rng.randint(0, extent - edge) for extent in size)
        canvas.paste(plate, (left, top), mask=plate)
        box = tuple(place / OVERSAMPLING for place in (left, top, left + edge, top + edge))
        if sign.risky:
            level, risk_type = sign.marks, SAFETY_TYPES.index(sign.safety_type)
    small = canvas.resize((columns * CELL_PIXELS, rows * CELL_PIXELS), Image.Resampling.BOX)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(0.0, NOISE_STD, (*small.size[::-1], 3))
    pixels = np.asarray(small) + noise
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return LargeScene(image, kind, 0.0 if kind == "no_sign" else area, level, risk_type, sign, box)


def draw_training_scenes(number: int, seed: int) -> list[LargeScene]:
    """
    As many risky scenes as harmless ones, of which half have a look-alike; signs of every size, and of that in the
    miniature's own scenes.
    """
    rng = random.Random(f"train {seed}")
    areas = (*AREAS, FULL_SIZE)
    return [draw_large_scene(rng, TRAINING_KINDS[i % 4], areas[i // 4 % len(areas)]) for i in range(number)]


def draw_test_scenes(number: int) -> dict[tuple[str, float], list[LargeScene]]:
    """The same for every model: `number` risky scenes and look-alikes of each size, and as many without a sign."""
    rng = random.Random("test")
    groups = [(kind, area) for area in AREAS for kind in ("risky", "look_alike")] + [("no_sign", 0.0)]
    return {group: [draw_large_scene(rng, *group) for _ in range(number)] for group in groups}
