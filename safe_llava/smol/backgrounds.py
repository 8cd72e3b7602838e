"""What stands behind the drawings: plain colors, and procedural textures that have the statistics of photographs."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageFilter


def draw_background(size: int, kind: str, generator: np.random.Generator) -> Image.Image:
    """
    Draws a background.

    Args:
        size (`int`): pixels of each side.
        kind (`str`): one of `BACKGROUNDS`.
        generator (`np.random.Generator`): source of all randomness.
    """
    return BACKGROUNDS[kind](size, generator)


def _color(generator: np.random.Generator) -> np.ndarray:
    """Any color, most of them muted as in photographs."""
    gray = generator.uniform(40, 245)
    return np.clip(gray + generator.normal(0, generator.choice([5, 18, 45]), 3), 0, 255)


def _upscaled(values: np.ndarray, size: int) -> np.ndarray:
    image = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)


def _image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _clouds(size: int, generator: np.random.Generator) -> np.ndarray:
    """Noise with as much of each scale as photographs have, from 0 to 1."""
    field = sum(
        _upscaled(generator.uniform(0, 255, (cells, cells)), size) * weight
        for cells, weight in ((3, 0.5), (7, 0.27), (15, 0.14), (40, 0.09))
    )
    return np.asarray(field)[:, :, None] / 255


def _blend(share: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    first, second = _color(generator), _color(generator)
    return first + (second - first) * share


def _plain(size: int, generator: np.random.Generator) -> Image.Image:
    return Image.new("RGB", (size, size), tuple(int(value) for value in _color(generator)))


def _white(size: int, generator: np.random.Generator) -> Image.Image:
    return Image.new("RGB", (size, size), (int(generator.integers(235, 256)),) * 3)


def _gradient(size: int, generator: np.random.Generator) -> Image.Image:
    angle = generator.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:size, :size] / size - 0.5
    share = np.clip(0.5 + x * np.cos(angle) + y * np.sin(angle), 0, 1)
    return _image(_blend(share[:, :, None], generator))


def _cloudy(size: int, generator: np.random.Generator) -> Image.Image:
    share = np.clip((_clouds(size, generator) - 0.3) * 2.5, 0, 1)
    return _image(_blend(share, generator) + generator.normal(0, 4, (size, size, 1)))


def _room(size: int, generator: np.random.Generator) -> Image.Image:
    """A wall and a floor, or a sky and the ground, out of focus, brighter in the middle."""
    horizon = int(size * generator.uniform(0.45, 0.8))
    values = np.empty((size, size, 3))
    values[:horizon], values[horizon:] = _color(generator), _color(generator)
    values += (_clouds(size, generator) - 0.5) * generator.uniform(30, 110)
    image = _image(values).filter(ImageFilter.GaussianBlur(float(generator.uniform(1, 6))))
    y, x = np.mgrid[:size, :size] / size - 0.5
    vignette = 1 - generator.uniform(0.2, 0.8) * (x**2 + y**2)
    return _image(np.asarray(image) * vignette[:, :, None] + generator.normal(0, 3, (size, size, 1)))


def _blobs(size: int, generator: np.random.Generator) -> Image.Image:
    """Blurred lights and things, as behind a portrait."""
    values = np.empty((28, 28, 3))
    values[:] = _color(generator)
    y, x = np.mgrid[:28, :28]
    for _ in range(int(generator.integers(4, 12))):
        column, row, radius = *generator.uniform(0, 28, 2), generator.uniform(2, 7)
        values[(x - column) ** 2 + (y - row) ** 2 < radius**2] = _color(generator)
    image = Image.fromarray(values.astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    return image.filter(ImageFilter.GaussianBlur(float(generator.uniform(2, 8))))


def _grain(size: int, generator: np.random.Generator) -> Image.Image:
    """Wood or cloth: noise drawn out along one direction."""
    lines = generator.uniform(0, 255, (int(generator.integers(30, 120)), int(generator.integers(2, 8))))
    share = _upscaled(lines, size) / 255
    if generator.uniform() < 0.5:
        share = share.T
    return _image(_blend(share[:, :, None] * 0.6, generator) + generator.normal(0, 3, (size, size, 1)))


def _tiles(size: int, generator: np.random.Generator) -> Image.Image:
    cell, joint = int(generator.integers(18, 60)), int(generator.integers(1, 4))
    y, x = np.mgrid[:size, :size] + int(generator.integers(0, 60))
    values = np.where(((x % cell) < joint) | ((y % cell) < joint), 0.9, 0.15)
    return _image(_blend(values[:, :, None], generator) + (_clouds(size, generator) - 0.5) * 50)


BACKGROUNDS: dict[str, Callable[[int, np.random.Generator], Image.Image]] = {
    "white": _white,
    "plain": _plain,
    "gradient": _gradient,
    "cloudy": _cloudy,
    "room": _room,
    "blobs": _blobs,
    "grain": _grain,
    "tiles": _tiles,
}
