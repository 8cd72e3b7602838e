"""Draws a scene as a 48 x 48 RGB picture."""

import math
import random

import numpy as np
from PIL import Image, ImageDraw

from .palette import BACKGROUND_RGB, COLOR_RGB
from .scenes import GRID_SIZE, Scene, Shape
from .signs import draw_sign


CELL_PIXELS = 16
IMAGE_SIZE = GRID_SIZE * CELL_PIXELS
OVERSAMPLING = 4
NOISE_STD = 3.0

Point = tuple[float, float]


def draw_scene(scene: Scene) -> Image.Image:
    """Render a scene; the same scene gives the same pixels.

    Returns:
        An RGB picture of `IMAGE_SIZE` x `IMAGE_SIZE` pixels.
    """
    rng = random.Random(scene.drawing_seed)
    canvas = Image.new("RGB", (IMAGE_SIZE * OVERSAMPLING,) * 2, _shade(BACKGROUND_RGB[scene.background], rng, 6))
    if scene.sign:
        row, column = scene.sign.corner
        plate = draw_sign(scene.sign, 2 * CELL_PIXELS * OVERSAMPLING, rng)
        canvas.paste(plate, (column * CELL_PIXELS * OVERSAMPLING, row * CELL_PIXELS * OVERSAMPLING), plate)
    draw = ImageDraw.Draw(canvas)
    for shape in scene.shapes:
        _draw_shape(draw, shape, rng)
    pixels = np.asarray(canvas.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX), dtype=np.float32)
    noise = np.random.default_rng(scene.drawing_seed).normal(0.0, NOISE_STD, pixels.shape)
    return Image.fromarray(np.clip(pixels + noise, 0, 255).astype(np.uint8))


def _shade(rgb: tuple[int, int, int], rng: random.Random, spread: int) -> tuple[int, ...]:
    return tuple(min(255, max(0, value + rng.randint(-spread, spread))) for value in rgb)


def _draw_shape(draw: ImageDraw.ImageDraw, shape: Shape, rng: random.Random) -> None:
    row, column = shape.cell
    radius = rng.uniform(5.8, 7.0)
    x = (column + 0.5) * CELL_PIXELS + rng.uniform(-0.8, 0.8)
    y = (row + 0.5) * CELL_PIXELS + rng.uniform(-0.8, 0.8)
    outline = [((x + px * radius) * OVERSAMPLING, (y + py * radius) * OVERSAMPLING) for px, py in OUTLINES[shape.kind]]
    fill = _shade(COLOR_RGB[shape.color], rng, 12)
    draw.polygon(outline, fill=fill, outline=tuple(value // 2 for value in fill))


def _circle() -> list[Point]:
    return [(math.cos(2 * math.pi * i / 40), math.sin(2 * math.pi * i / 40)) for i in range(40)]


def _star() -> list[Point]:
    corners = []
    for i in range(10):
        radius, angle = (1.08, 0.45)[i % 2], math.pi * i / 5 - math.pi / 2
        corners.append((radius * math.cos(angle), radius * math.sin(angle)))
    return corners


def _cross() -> list[Point]:
    arm = 0.34
    corners = [(-arm, -1), (arm, -1), (arm, -arm), (1, -arm), (1, arm), (arm, arm)]
    return corners + [(-x, -y) for x, y in corners]


def _heart() -> list[Point]:
    points = []
    for i in range(40):
        t = 2 * math.pi * i / 40
        y = 13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)
        points.append((math.sin(t) ** 3, -y / 15))
    return points


OUTLINES: dict[str, list[Point]] = {
    "circle": _circle(),
    "square": [(-0.85, -0.85), (0.85, -0.85), (0.85, 0.85), (-0.85, 0.85)],
    "triangle": [(0, -1), (1, 0.85), (-1, 0.85)],
    "star": _star(),
    "cross": _cross(),
    "heart": _heart(),
}
"""Outlines in units of the radius around the centre, y downwards."""
