"""Views of drawings to train the tower on: one alone, or up to four in a scene, each changed by chance."""

import random
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from safe_llava.smol.changed_drawings import change


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


def single_view(drawing: Image.Image, rng: random.Random) -> torch.Tensor:
    """One drawing that fills most of 96 x 96 pixels."""
    canvas = draw_background(rng, SINGLE_SIZE)
    size = rng.randrange(64, 105)
    free = SINGLE_SIZE - size
    corner = (free // 2 + rng.randrange(-6, 7), free // 2 + rng.randrange(-6, 7))
    changed = change(drawing.resize((size, size), Image.Resampling.BILINEAR), rng)
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
        changed = change(drawing.resize((size, size), Image.Resampling.BILINEAR), rng)
        canvas.paste(changed, (x, y), changed)
        covered = Image.new("L", canvas.size)
        covered.paste(changed.getchannel("A"), (x, y))
        share = torch.from_numpy(np.array(covered.resize((number, number), Image.Resampling.BOX)))
        cells[share > 8] = UNSURE
        # A small drawing may fill no cell well: the one it fills best is its own.
        cells[(share > 110) | (share == share.max())] = index
    return Scene(as_pixels(canvas), cells)
