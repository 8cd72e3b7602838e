"""The showcase: an image that fits a page, whose lines make room for each other."""

import pytest
from PIL import Image

from safe_llava.miniature.miniature_world import MINIATURE_WORLD
from safe_llava.miniature.scene_dataset import build_dataset
from safe_llava.quickstart.showcase import draw_showcase


@pytest.fixture(scope="module")
def scenes():
    return build_dataset("test", 100)


def draw(scenes, path, base_answer):
    base = [{"answer": base_answer}] * len(scenes)
    ours = [{"answer": "A star.", "level": 3, "type": 0}] * len(scenes)
    draw_showcase(MINIATURE_WORLD, scenes, base, ours, path)
    return Image.open(path).convert("L")


def test_it_shows_a_scene_of_each_kind_in_a_size_for_a_page(scenes, tmp_path):
    image = draw(scenes, tmp_path / "showcase.png", "A star.")
    assert 600 < image.width < 900 and image.height < 900
    assert len(MINIATURE_WORLD.showcase_kinds) * 120 < image.height


def test_a_long_answer_moves_what_follows_down(scenes, tmp_path):
    short = draw(scenes, tmp_path / "short.png", "A star.")
    long = draw(scenes, tmp_path / "long.png", "A star and a circle and a square. " * 6)
    assert long.height > short.height
    right_margin = long.crop((long.width - 8, 0, long.width, long.height))
    assert right_margin.getextrema() == (255, 255)  # no text runs off the image
