"""Small risks in large images: what is drawn, what each guard sees of it, and that a finished seed is kept."""

import random

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from recipes.study.small_risks import __main__ as command
from recipes.study.small_risks.contenders import build_contender
from recipes.study.small_risks.large_scenes import AREAS, draw_large_scene, draw_test_scenes, draw_training_scenes
from safe_llava.models.safety_labels import SAFE_TYPE_ID


@pytest.mark.parametrize("area", AREAS)
def test_a_sign_covers_its_share_of_the_image(area, monkeypatch):
    covered = []

    def draw_plate(sign, edge, rng):
        covered.append(edge**2)
        return Image.new("RGBA", (edge, edge), "red")

    monkeypatch.setattr("recipes.study.small_risks.large_scenes.draw_sign", draw_plate)
    scene = draw_large_scene(random.Random(0), "risky", area)
    pixels = scene.image.width * scene.image.height * 16  # drawn four times as large each way
    assert covered[0] / pixels == pytest.approx(area, rel=0.05)


def test_only_risky_signs_are_labelled_as_a_risk():
    scenes = draw_training_scenes(16, seed=0)
    assert {scene.kind: (scene.level > 0, scene.type != SAFE_TYPE_ID) for scene in scenes} == {
        "risky": (True, True),
        "look_alike": (False, False),
        "no_sign": (False, False),
    }


def test_every_model_is_asked_about_the_same_images():
    first, second = draw_test_scenes(1), draw_test_scenes(1)
    for group, scenes in first.items():
        assert np.array_equal(scenes[0].image, second[group][0].image)


@pytest.mark.parametrize(("reads", "tiles"), [("square", 1), ("base", 10), ("all", 10)])
def test_a_guard_learns_from_what_it_sees_and_keeps_its_tower(reads, tiles):
    contender = build_contender(reads, seed=0)
    scene = draw_large_scene(random.Random(0), "risky", 0.2)
    inputs = contender.encode([[scene.image.resize((144, 144))]])
    assert inputs["pixel_values"][0].reshape(-1, 3, 48, 48).shape[0] == tiles
    labels = {"safety_level": torch.tensor([scene.level]), "safety_type": torch.tensor([scene.type])}
    contender.model(**inputs, **labels).loss.backward()
    learned = {name for name, parameter in contender.model.named_parameters() if parameter.grad is not None}
    assert learned and all(".safety_modules." in name for name in learned)
    assert (reads == "all") == any("tile_positions" in name for name in learned)


def test_a_finished_seed_is_kept_and_the_table_is_made_of_it(tmp_path, monkeypatch):
    shares = {name: {"risky, 1 %": 0.5, "harmless, no sign": 0.0} for name in command.READINGS}
    command.write_json(tmp_path / "seed0.json", {"asked": {"rows": 64, "test_rows": 100}, "shares": shares})
    monkeypatch.setattr(command, "build_contender", lambda *arguments: pytest.fail("trained again"))
    app = command.typer.Typer()
    app.command()(command.main)
    options = ["--output-dir", str(tmp_path), "--seeds", "1", "--rows", "64", "--test-rows", "100"]
    done = CliRunner().invoke(app, options, catch_exceptions=False)
    assert done.exit_code == 0
    assert "| risky, 1 % | 50.0 (40.4-59.6)" in (tmp_path / "table.md").read_text()
