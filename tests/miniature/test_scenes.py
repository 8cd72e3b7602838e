import random

import numpy as np
import pytest

from safe_llava.miniature.drawing import IMAGE_SIZE, draw_scene
from safe_llava.miniature.looks import CORRUPTIONS, SEEN, TEXTURES, Look, sample_look
from safe_llava.miniature.palette import COLOR_RGB
from safe_llava.miniature.scenes import (
    CAPTIONS,
    HARMLESS_WORDS,
    NOVEL_STYLES,
    REASSURING_WORDS,
    RISKY_WORDS,
    SIGN_CORNERS,
    STYLES,
    Caption,
    Scene,
    Shape,
    Sign,
    sample_scene,
)
from safe_llava.models.safety_labels import RISK_TYPES, SAFE_TYPE_ID


def scene_with(sign: Sign | None = None, *shapes: Shape, **more) -> Scene:
    return Scene(background="gray", shapes=shapes, sign=sign, drawing_seed=7, **more)


def a_sign(**changes) -> Sign:
    fields = {"safety_type": "privacy", "risky": True, "marks": 2, "color": "red", "style": "card", "corner": (0, 0)}
    return Sign(**{**fields, **changes})


def difference(first: Scene, second: Scene) -> np.ndarray:
    """Largest change of each pixel over the channels; both scenes share their noise."""
    return np.abs(np.asarray(draw_scene(first), int) - np.asarray(draw_scene(second), int)).max(axis=2)


def test_the_same_seed_samples_the_same_scene():
    assert sample_scene(random.Random(3), "train", "risky") == sample_scene(random.Random(3), "train", "risky")


def test_the_same_scene_is_drawn_to_the_same_pixels():
    scene = sample_scene(random.Random(3), "train", "risky")
    assert draw_scene(scene).tobytes() == draw_scene(scene).tobytes()
    assert draw_scene(scene).size == (IMAGE_SIZE, IMAGE_SIZE)


def test_a_scene_belongs_to_exactly_one_split():
    rng = random.Random(0)
    for _ in range(200):
        scene = sample_scene(rng, "pretrain", rng.choice([None, "risky", "look_alike"]))
        assert not any(scene.belongs_to(split) for split in ("train", "validation", "test"))


def test_where_and_how_things_are_drawn_does_not_change_the_split():
    shape = Shape("star", "red", (2, 2))
    moved = Shape("star", "red", (0, 2))
    assert scene_with(a_sign(), shape).content == scene_with(a_sign(corner=(1, 0), style="dark"), moved).content


@pytest.mark.parametrize(("split", "styles"), [("test", STYLES), ("restyled", NOVEL_STYLES), ("novel", NOVEL_STYLES)])
def test_only_restyled_and_novel_splits_have_novel_styles(split, styles):
    rng = random.Random(0)
    assert {sample_scene(rng, split, "risky").sign.style for _ in range(50)} == set(styles)


@pytest.mark.parametrize("risk", RISK_TYPES)
def test_the_marks_of_a_risky_sign_are_its_level(risk):
    scene = scene_with(a_sign(safety_type=risk, marks=3))
    assert (scene.safety_level, scene.safety_type) == (3, RISK_TYPES.index(risk))


@pytest.mark.parametrize("risk", RISK_TYPES)
def test_a_look_alike_is_harmless_whatever_its_marks(risk):
    scene = scene_with(a_sign(safety_type=risk, risky=False, marks=3))
    assert (scene.safety_level, scene.safety_type) == (0, SAFE_TYPE_ID)


@pytest.mark.parametrize("style", STYLES + NOVEL_STYLES)
@pytest.mark.parametrize("risk", RISK_TYPES)
def test_risk_and_level_are_visible_in_the_drawing(risk, style):
    low, high, harmless = (
        scene_with(a_sign(safety_type=risk, style=style, marks=marks, risky=risky))
        for marks, risky in ((1, True), (3, True), (1, False))
    )
    assert (difference(low, high) > 60).sum() >= 10
    assert (difference(low, harmless) > 60).sum() >= 10


@pytest.mark.parametrize("color", COLOR_RGB)
def test_a_shape_has_its_color_in_its_cell(color):
    pixels = np.asarray(draw_scene(scene_with(None, Shape("square", color, (1, 2)))), int)
    assert np.abs(pixels[24, 40] - COLOR_RGB[color]).max() < 35


def test_a_sign_leaves_the_other_cells_free():
    rng = random.Random(1)
    for corner in SIGN_CORNERS:
        scene = sample_scene(rng, "train", "risky")
        assert corner in SIGN_CORNERS and not scene.sign.cells & {shape.cell for shape in scene.shapes}


@pytest.mark.parametrize(("risk", "word"), RISKY_WORDS.items())
def test_a_printed_instruction_makes_a_image_highly_risky(risk, word):
    scene = scene_with(caption=Caption(word, row=0))
    assert (scene.safety_level, scene.safety_type) == (3, RISK_TYPES.index(risk))


@pytest.mark.parametrize("word", HARMLESS_WORDS + REASSURING_WORDS)
def test_other_words_change_nothing_about_the_risk(word):
    caption = Caption(word, row=2)
    assert (scene_with(caption=caption).safety_level, scene_with(caption=caption).safety_type) == (0, SAFE_TYPE_ID)
    assert scene_with(a_sign(marks=2), caption=caption).safety_level == 2


def test_captions_can_be_told_apart():
    images = [scene_with(caption=Caption(word, row=1)) for word in CAPTIONS]
    for i, first in enumerate(images):
        assert all((difference(first, second) > 60).sum() >= 10 for second in images[:i])


def test_a_caption_leaves_the_sign_free():
    rng = random.Random(2)
    for _ in range(30):
        scene = sample_scene(rng, "test", "risky", words=REASSURING_WORDS)
        assert not scene.caption.cells & scene.sign.cells


@pytest.mark.parametrize(
    "look",
    [
        *(Look(texture=texture) for texture in TEXTURES[1:]),
        *(Look(corruption=name) for name in CORRUPTIONS),
        Look(sign_scale=0.85),
        Look(sign_tilt=12.0),
        Look(clutter=8),
    ],
)
def test_every_part_of_a_look_can_be_seen(look):
    assert (difference(scene_with(a_sign()), scene_with(a_sign(), look=look)) > 8).sum() >= 20


def test_safety_training_sees_one_look_only():
    assert sample_look(random.Random(0), "seen") == SEEN
    assert all(sample_look(random.Random(seed), "unseen") != SEEN for seed in range(20))
