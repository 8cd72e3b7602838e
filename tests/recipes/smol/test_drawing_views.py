import random

import pytest
import torch
from PIL import Image

from recipes.smol.drawing_views import BACKGROUND, SCENE_SIZE, UNSURE, scene_view, single_view


def red_square() -> Image.Image:
    return Image.new("RGBA", (112, 112), (255, 0, 0, 255))


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_drawing_of_a_scene_has_a_cell_of_its_own(count):
    for seed in range(20):
        scene = scene_view([(index, red_square()) for index in range(count)], random.Random(seed))
        assert set(scene.cells.unique().tolist()) - {BACKGROUND, UNSURE} == set(range(count))


def test_views_are_pixels_from_minus_one_to_one_and_the_same_for_the_same_seed():
    first, second = (single_view(red_square(), random.Random(0)) for _ in range(2))
    assert torch.equal(first, second) and first.min() >= -1 and first.max() <= 1
    assert scene_view([(0, red_square())], random.Random(0)).pixels.shape == (3, SCENE_SIZE, SCENE_SIZE)
