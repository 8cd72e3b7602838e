"""Views of drawings to train the tower on: one alone, or up to four in a scene, each changed by chance."""

import random
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageChops, ImageEnhance, ImageFilter


SINGLE_SIZE, SCENE_SIZE, CELL = 96, 224, 32
BACKGROUND, UNSURE = -1, -100


@dataclass
class Scene:
    """`pixels` `(3, 224, 224)` from -1 to 1, and the index of the drawing of each of its 7 x 7 cells."""

    pixels: torch.Tensor
    cells: torch.Tensor


def as_pixels(image: Image.Image) -> torch.Tensor:
    """`(3, height, width)`, from -1 to 1."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1


def draw_background(rng: random.Random, size: int) -> Image.Image:
    """A plain colour, a gradient, soft blobs or noise; white now and then."""
    kind = rng.choice(("white", "plain", "plain", "blobs", "blobs", "noise"))
    colour = tuple(rng.randrange(256) for _ in range(3))
    if kind == "white":
        return Image.new("RGB", (size, size), (255, 255, 255))
    if kind == "plain":
        return Image.new("RGB", (size, size), colour)
    grid = rng.choice((2, 3, 5)) if kind == "blobs" else rng.choice((16, 48))
    spread = rng.uniform(20, 110)
    noise = np.random.default_rng(rng.getrandbits(32)).normal(colour, spread, (grid, grid, 3)).clip(0, 255)
    return Image.fromarray(noise.astype("uint8")).resize((size, size), Image.Resampling.BICUBIC)


def change(drawing: Image.Image, rng: random.Random, size: int) -> Image.Image:
    """Resizes to `size`, turns, recolours, outlines or blurs: what one maker does otherwise than the other."""
    drawing = drawing.resize((size, size), Image.Resampling.BILINEAR)
    if rng.random() < 0.5:
        drawing = drawing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.7:
        drawing = drawing.rotate(rng.uniform(-20, 20), Image.Resampling.BILINEAR)
    alpha = drawing.getchannel("A")
    colours = drawing.convert("RGB")
    if rng.random() < 0.15:
        colours = colours.convert("L").convert("RGB")
    elif rng.random() < 0.5:
        hue, saturation, value = colours.convert("HSV").split()
        turn = rng.randrange(-14, 15)
        hue = hue.point([(level + turn) % 256 for level in range(256)])
        colours = Image.merge("HSV", (hue, saturation, value)).convert("RGB")
    for enhance in (ImageEnhance.Color, ImageEnhance.Brightness, ImageEnhance.Contrast):
        if rng.random() < 0.5:
            colours = enhance(colours).enhance(rng.uniform(0.55, 1.5))
    if rng.random() < 0.1:
        colours = ImageChops.blend(colours, colours.filter(ImageFilter.FIND_EDGES), 0.6)
    if rng.random() < 0.2:
        colours = colours.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2)))
    if rng.random() < 0.35:
        wide = alpha.filter(ImageFilter.MaxFilter(rng.choice((3, 5))))
        line = Image.new("RGB", drawing.size, (0, 0, 0) if rng.random() < 0.7 else (255, 255, 255))
        line.paste(colours, mask=alpha)
        colours, alpha = line, wide
    colours.putalpha(alpha)
    return colours


def single_view(drawing: Image.Image, rng: random.Random) -> torch.Tensor:
    """One drawing that fills most of 96 x 96 pixels."""
    canvas = draw_background(rng, SINGLE_SIZE)
    size = rng.randrange(64, 105)
    free = SINGLE_SIZE - size
    corner = (free // 2 + rng.randrange(-6, 7), free // 2 + rng.randrange(-6, 7))
    changed = change(drawing, rng, size)
    canvas.paste(changed, corner, changed)
    return as_pixels(canvas)


def scene_view(drawings: list[tuple[int, Image.Image]], rng: random.Random) -> Scene:
    """Drawings at places of their own in a scene. A cell that a drawing covers in part belongs to none."""
    canvas = draw_background(rng, SCENE_SIZE)
    number = SCENE_SIZE // CELL
    cells = torch.full((number, number), BACKGROUND)
    corners = [(x, y) for x in (0, 1) for y in (0, 1)]
    rng.shuffle(corners)
    half = SCENE_SIZE // 2
    for (index, drawing), (right, below) in zip(drawings, corners):
        size = rng.randrange(44, 111)
        x, y = right * half + rng.randrange(half - size + 1), below * half + rng.randrange(half - size + 1)
        changed = change(drawing, rng, size)
        canvas.paste(changed, (x, y), changed)
        covered = Image.new("L", canvas.size)
        covered.paste(changed.getchannel("A"), (x, y))
        share = torch.from_numpy(np.array(covered.resize((number, number), Image.Resampling.BOX)))
        cells[share > 8] = UNSURE
        # A small drawing may fill no cell well: the one it fills best is its own.
        cells[(share > 110) | (share == share.max())] = index
    return Scene(as_pixels(canvas), cells)
