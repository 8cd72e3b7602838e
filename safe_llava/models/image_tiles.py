"""How images are cut: a base tile, which shows all of an image, and tiles of its parts, line by line behind it.

LLaVA-NeXT: Liu et al., "LLaVA-NeXT: Improved reasoning, OCR, and world knowledge", 2024 ("AnyRes").
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedConfig
from transformers.image_processing_utils import select_best_resolution
from transformers.models.llava_next.modeling_llava_next import unpad_image


class TileGrid(NamedTuple):
    """
    How an image is cut.

    Args:
        rows, columns (`int`): tiles of its parts in a column and in a row; 0 where there is only the base tile.
        size (`tuple[int, int]`): height and width of the image in pixels.
    """

    rows: int
    columns: int
    size: tuple[int, int]

    @property
    def num_tiles(self) -> int:
        """The base tile among them."""
        return 1 + self.rows * self.columns


class TilePositions(nn.Module):
    """
    A learned vector for each line and for each column that a tile may stand in, of shape `(number, hidden_size)`. The
    first of both is the base tile's.

    Args:
        config ([`SafeLlavaNextConfig`]): its `image_grid_pinpoints` say how many lines and columns there may be.
    """

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        edge, width = config.vision_config.image_size, config.text_config.hidden_size
        most = [-(-max(sizes) // edge) for sizes in zip(*config.image_grid_pinpoints, strict=True)]
        self.rows, self.columns = (nn.Parameter(torch.empty(1 + number, width)) for number in most)

    @property
    def grid(self) -> tuple[int, int]:
        """Most tiles in a column and in a row."""
        return len(self.rows) - 1, len(self.columns) - 1

    def forward(self, tiles: Sequence[TileGrid]) -> torch.Tensor:
        """The vectors of all tiles of some images, of shape `(num_tiles, 1, hidden_size)`."""
        places = [place for grid in tiles for place in _places(grid)]
        rows, columns = torch.tensor(places, device=self.rows.device).T
        return (self.rows[rows] + self.columns[columns]).unsqueeze(1)


def find_tile_grid(config: PreTrainedConfig, size: Sequence[int], is_cut: bool = True) -> TileGrid:
    """
    How a model cuts an image.

    Args:
        config ([`SafeLlavaNextConfig`]): has `image_grid_pinpoints`.
        size (`Sequence[int]`): height and width of the image.
        is_cut (`bool`, *optional*, defaults to `True`): `False` for an image of which there is only the base tile.
    """
    height, width = size
    if not is_cut:
        return TileGrid(0, 0, (height, width))
    canvas = select_best_resolution((height, width), config.image_grid_pinpoints)
    rows, columns = (-(-extent // config.vision_config.image_size) for extent in canvas)
    return TileGrid(rows, columns, (height, width))


def find_base_tiles(tiles: Sequence[TileGrid]) -> list[int]:
    """Where the base tile of each image, its first, stands among the tiles of all images."""
    return [0, *accumulate(grid.num_tiles for grid in tiles)][: len(tiles)]


def merge_tiles(maps: torch.Tensor, tiles: Sequence[TileGrid], size: tuple[int, int]) -> torch.Tensor:
    """
    Maps over the tiles of images as one map over each image, of the same sum; what lies on nothing but the bars that
    fill up the tiles is lost.

    Args:
        maps (`torch.FloatTensor` of shape `(num_tiles, height, width)`): values of 0 or more.
        tiles (`Sequence[TileGrid]`): how each image is cut.
        size (`tuple[int, int]`): height and width of the maps to make.

    Returns:
        `torch.FloatTensor` of shape `(num_images, *size)`
    """
    merged = maps.new_zeros(len(tiles), *size)
    for number, (grid, of_image) in enumerate(zip(tiles, maps.split([grid.num_tiles for grid in tiles]), strict=True)):
        merged[number] = spread_map(of_image[0], size)
        if grid.num_tiles > 1:
            lines = of_image[1:].unflatten(0, (grid.rows, grid.columns)).transpose(1, 2).flatten(2).flatten(0, 1)
            # What fills up the last tiles is no part of the image. One thinner than a patch would be all gone.
            seen = unpad_image(lines.unsqueeze(0), grid.size)[0]
            seen = seen if seen.numel() else lines
            merged[number] += spread_map(seen, size, lines.sum())
    return merged


def spread_map(values: torch.Tensor, size: tuple[int, int], total: Any = None) -> torch.Tensor:
    """A map of another size with the same sum, or with the sum `total`; of shape `size`."""
    total = values.sum() if total is None else total
    if tuple(values.shape) != size:
        values = F.interpolate(values[None, None], size=size, mode="bilinear", align_corners=False)[0, 0]
    # Shares first: the total of a map of zeros, divided by its sum, would be infinite.
    return values / values.sum().clamp(min=torch.finfo(values.dtype).tiny) * total


def _places(grid: TileGrid) -> list[tuple[int, int]]:
    parts = [(row, column) for row in range(1, grid.rows + 1) for column in range(1, grid.columns + 1)]
    return [(0, 0), *parts]
