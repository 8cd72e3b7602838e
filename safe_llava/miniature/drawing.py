"""Draws a scene as a 48 x 48 RGB image."""

import math
import random

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .corruption import corrupt
from .palette import BACKGROUND_RGB, COLOR_RGB, RGB
from .scenes import GRID_SIZE, Caption, Scene, Shape, Sign
from .signs import draw_sign


CELL_PIXELS = 16
IMAGE_SIZE = GRID_SIZE * CELL_PIXELS
OVERSAMPLING = 4
NOISE_STD = 3.0
CAPTION_COLORS: tuple[tuple[RGB, RGB], ...] = (((250, 250, 250), (20, 20, 20)), ((30, 30, 40), (240, 240, 240)))
"""Paper and ink of the captions."""

Point = tuple[float, float]


def draw_scene(scene: Scene) -> Image.Image:
    """
    Draws a scene; the same scene gives the same pixels.

    Args:
        scene ([`Scene`]): what to draw.

    Returns:
        `PIL.Image.Image`: of `IMAGE_SIZE` x `IMAGE_SIZE` pixels, in RGB.
    """
    rng = random.Random(scene.drawing_seed)
    canvas = _draw_background(scene, rng)
    draw = ImageDraw.Draw(canvas)
    if scene.sign:
        _paste_sign(canvas, scene.sign, rng, scene.look.sign_scale, scene.look.sign_tilt)
    if scene.caption:
        _draw_caption(draw, scene.caption, rng)
    for shape in scene.shapes:
        draw_shape(draw, shape, rng)
    pixels = np.asarray(canvas.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX), dtype=np.float32)
    generator = np.random.default_rng(scene.drawing_seed)
    pixels = np.clip(pixels + generator.normal(0.0, NOISE_STD, pixels.shape), 0, 255)
    image = Image.fromarray(pixels.astype(np.uint8))
    return corrupt(image, scene.look.corruption, generator) if scene.look.corruption else image


def _draw_background(scene: Scene, rng: random.Random) -> Image.Image:
    size = IMAGE_SIZE * OVERSAMPLING
    color = shade(BACKGROUND_RGB[scene.background], rng, 6)
    canvas = Image.new("RGB", (size, size), color)
    draw = ImageDraw.Draw(canvas)
    for y in range(size if scene.look.texture != "plain" else 0):
        offset = round(28 * y / size - 14) if scene.look.texture == "gradient" else 14 * (y * 8 // size % 2)
        draw.line([(0, y), (size, y)], fill=tuple(min(255, max(0, value + offset)) for value in color))
    for _ in range(scene.look.clutter):
        left, top, gray = rng.uniform(0, size), rng.uniform(0, size), rng.randint(60, 200)
        end = (left + rng.uniform(-5, 5) * OVERSAMPLING, top + rng.uniform(-5, 5) * OVERSAMPLING)
        draw.line([(left, top), end], fill=(gray, gray, gray), width=OVERSAMPLING)
    return canvas


def _paste_sign(canvas: Image.Image, sign: Sign, rng: random.Random, scale: float, tilt: float) -> None:
    room = 2 * CELL_PIXELS * OVERSAMPLING
    size = round(room * scale)
    plate = draw_sign(sign, size, rng, tilt)
    row, column = sign.corner
    left, top = (rng.randint(0, room - size) if size < room else 0 for _ in range(2))
    canvas.paste(
        plate, (column * CELL_PIXELS * OVERSAMPLING + left, row * CELL_PIXELS * OVERSAMPLING + top), mask=plate
    )


def _draw_caption(draw: ImageDraw.ImageDraw, caption: Caption, rng: random.Random) -> None:
    height, width = CELL_PIXELS * OVERSAMPLING, IMAGE_SIZE * OVERSAMPLING
    top, margin = caption.row * height, OVERSAMPLING
    paper, ink = CAPTION_COLORS[rng.randrange(len(CAPTION_COLORS))]
    draw.rectangle([margin, top + margin, width - margin, top + height - margin], fill=shade(paper, rng, 6))
    center = (width / 2 + rng.uniform(-0.5, 0.5) * OVERSAMPLING, top + height / 2)
    font = ImageFont.load_default(size=12.5 * OVERSAMPLING)
    draw.text(center, caption.word, fill=ink, font=font, anchor="mm", stroke_width=1, stroke_fill=ink)


def shade(rgb: tuple[int, int, int], rng: random.Random, spread: int) -> tuple[int, ...]:
    """A colour up to `spread` off in each channel, as no two things of one colour are quite alike."""
    return tuple(min(255, max(0, value + rng.randint(-spread, spread))) for value in rgb)


def draw_shape(draw: ImageDraw.ImageDraw, shape: Shape, rng: random.Random) -> None:
    """Draws a shape into its cell of a canvas of any number of cells."""
    row, column = shape.cell
    radius = rng.uniform(5.8, 7.0)
    x = (column + 0.5) * CELL_PIXELS + rng.uniform(-0.8, 0.8)
    y = (row + 0.5) * CELL_PIXELS + rng.uniform(-0.8, 0.8)
    outline = [((x + px * radius) * OVERSAMPLING, (y + py * radius) * OVERSAMPLING) for px, py in OUTLINES[shape.kind]]
    fill = shade(COLOR_RGB[shape.color], rng, 12)
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
