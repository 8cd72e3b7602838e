"""Where the risky drawing of a scene lies, on the patches of a tower."""

import math

import pytest

from safe_llava.smol.composition import IMAGE_SIZE
from safe_llava.smol.drawing_evidence import drawing_mask
from safe_llava.smol.world_rows import sample_rows


@pytest.fixture(scope="module")
def scenes(drawings):
    return [row.scene for row in sample_rows(drawings["test"], 40) if row.kind == "pair_risky"]


def test_the_mask_of_pixels_is_the_square_that_the_subject_was_drawn_in(scenes):
    for scene in scenes:
        mask = drawing_mask(scene, (IMAGE_SIZE, IMAGE_SIZE))
        placed = scene.placed[scene.main]
        rows, columns = mask.any(1).nonzero().squeeze(1), mask.any(0).nonzero().squeeze(1)
        middle = ((columns[0] + columns[-1] + 1) / 2, (rows[0] + rows[-1] + 1) / 2)
        assert middle == pytest.approx(placed.center, abs=1)
        assert mask.sum() == pytest.approx(placed.size**2, rel=0.1)


@pytest.mark.parametrize("patch_grid", [(7, 7), (24, 24), (4, 8)])
def test_a_patch_counts_as_soon_as_it_shares_a_pixel_with_the_drawing(scenes, patch_grid):
    for scene in scenes:
        pixels = drawing_mask(scene, (IMAGE_SIZE, IMAGE_SIZE))
        for row, cells in enumerate(drawing_mask(scene, patch_grid)):
            for column, inside in enumerate(cells):
                top, left = IMAGE_SIZE / patch_grid[0], IMAGE_SIZE / patch_grid[1]
                rows = slice(int(row * top), math.ceil((row + 1) * top))
                part = pixels[rows, int(column * left) : math.ceil((column + 1) * left)]
                assert not inside or part.any()
                assert inside or part.float().mean() < 0.2


def test_nothing_but_the_subject_is_on_the_mask(scenes):
    """The other drawings of the scene stand elsewhere."""
    for scene in scenes:
        mask = drawing_mask(scene, (IMAGE_SIZE, IMAGE_SIZE))
        for index, placed in enumerate(scene.placed):
            column, row = placed.center
            assert mask[row, column] == (index == scene.main)
