"""Small risks in large images: what is drawn, what each guard sees of it, and that a finished seed is kept."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from recipes.miniature.tower import PICTOGRAMS, TARGETS
from recipes.study.small_risks import __main__ as command
from recipes.study.small_risks import reading_scores
from recipes.study.small_risks.__main__ import make_table, summarize_runs
from recipes.study.small_risks.any_size_tower import teach_tower
from recipes.study.small_risks.contenders import build_contender, encode_once, join_features, train
from recipes.study.small_risks.large_scenes import (
    AREAS,
    draw_large_scene,
    draw_test_scenes,
    draw_training_scenes,
)
from recipes.study.small_risks.reading_scores import measure_costs
from recipes.study.small_risks.scene_views import draw_first_views, draw_view
from safe_llava.models.safety_labels import SAFE_TYPE_ID


RESULTS = Path(__file__).parents[3] / "recipes" / "study" / "small_risks" / "results"


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


class TestViews:
    """What the tower is taught of each part of a large scene."""

    def look(self, area, seed):
        scene = draw_large_scene(random.Random(seed), "risky", area)
        return scene, dict(zip(TARGETS, draw_view(scene, random.Random(seed))[1], strict=True))

    def test_a_sign_that_can_be_read_is_named_and_its_marks_counted(self):
        named = 0
        for seed in range(20):
            scene, labels = self.look(0.2, seed)
            name = 1 + PICTOGRAMS.index((scene.sign.safety_type, True))
            assert set(labels["pictogram"].tolist()) <= {0, name, -100}
            assert set(labels["marks"].tolist()) <= {0, scene.sign.marks, -100}
            if (labels["marks"] == scene.sign.marks).all():
                assert (labels["pictogram"] == name).any()
                named += 1
        assert named > 5

    def test_nothing_is_asked_of_a_sign_too_small_to_read(self):
        views = [self.look(0.003, seed)[1] for seed in range(20)]
        assert {value for labels in views for value in labels["pictogram"].tolist()} == {0, -100}
        assert {value for labels in views for value in labels["marks"].tolist()} == {0, -100}

    def test_guards_begin_with_the_risks_that_can_be_read_in_them(self):
        views = draw_first_views(40, seed=0)
        assert {view.image.size for view in views} == {(48, 48)}
        risky = {(view.kind, view.level > 0, view.type != SAFE_TYPE_ID) for view in views if view.level >= 0}
        assert risky == {("risky", True, True), ("look_alike", False, False), ("no_sign", False, False)}
        assert any((view.level, view.type) == (-100, -100) for view in views)


def test_the_tower_is_taught_on_a_copy_that_keeps_its_names(contenders):
    tower = contenders["square"].model.model.vision_tower
    before = {name: value.clone() for name, value in tower.state_dict().items()}
    taught = teach_tower(tower, contenders["square"].processor.image_processor, scenes=2, steps=1, seed=0)
    assert taught.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in tower.state_dict().items())
    assert any(not torch.equal(value, before[name]) for name, value in taught.state_dict().items())


@pytest.fixture(scope="module")
def contenders():
    return {reads: build_contender(reads, seed=0) for reads in ("square", "base", "all")}


@pytest.mark.parametrize("reads", ["square", "base", "all"])
def test_a_guard_learns_from_what_it_sees_and_keeps_its_tower(reads, contenders):
    contender = contenders[reads]
    scene = draw_large_scene(random.Random(0), "risky", 0.2)
    before = {name: value.clone() for name, value in contender.model.state_dict().items()}
    train(contender, [scene], seed=0, epochs=2, learning_rate=1e-3)
    learned = {name for name, value in contender.model.state_dict().items() if not torch.equal(value, before[name])}
    assert learned and all(".safety_modules." in name for name in learned)
    assert (reads == "all") == any("tile_positions" in name for name in learned)


@pytest.mark.parametrize("reads", ["square", "base", "all"])
def test_training_sees_what_the_finished_guard_sees(reads, contenders):
    contender = contenders[reads]
    scenes = [draw_large_scene(random.Random(seed), "risky", 0.2) for seed in range(2)]
    prompt, features = encode_once(contender, scenes)
    joined = {"image": join_features(features)}
    with torch.no_grad():
        seen = contender.model(input_ids=prompt.repeat(2, 1), mm_encoder_outputs=joined)
        asked = contender.model(**contender.encode([[scene.image] for scene in scenes]))
    torch.testing.assert_close(seen.type_logits, asked.type_logits, atol=1e-4, rtol=1e-4)


def test_guards_begin_with_the_weights_that_they_are_given(contenders):
    start = {name: value + 1 for name, value in contenders["square"].model.state_dict().items()}
    weights = build_contender("all", 0, start).model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in start.items())


def test_the_cost_of_a_reading_is_the_tiles_that_its_tower_sees_and_its_seconds(contenders, monkeypatch):
    monkeypatch.setattr(reading_scores, "_ROUNDS", 2)  # In the first a guard asks itself whether to trust itself.
    monkeypatch.setattr(reading_scores, "_TIMED_IMAGES", 2)
    readings = {"square": ("square", None), "base": ("base", None), "all": ("all", None), "crops": ("square", 3)}
    costs = measure_costs({name: (contenders[reads], crops) for name, (reads, crops) in readings.items()})
    assert (costs["square"]["tiles"], costs["base"]["tiles"], costs["crops"]["tiles"]) == (1, 1, 10)
    assert 1 < costs["all"]["tiles"] <= 10
    assert all(cost["seconds"] > 0 for cost in costs.values())


def test_a_finished_seed_is_kept_and_the_table_is_made_of_it(tmp_path, monkeypatch):
    run = {
        "asked": {"rows": 64, "test_rows": 100, "tower_rounds": 0},
        "shares": {name: {"risky, 1 %": 0.5, "harmless, no sign": 0.0} for name in command.READINGS},
        "costs": {name: {"tiles": 1.0, "seconds": 0.5} for name in command.READINGS},
    }
    command.write_json(tmp_path / "seed0.json", run)
    monkeypatch.setattr(command, "build_contender", lambda *arguments: pytest.fail("trained again"))
    app = command.typer.Typer()
    app.command()(command.main)
    asked = ["--seeds", "1", "--rows", "64", "--test-rows", "100", "--tower-rounds", "0"]
    done = CliRunner().invoke(app, ["--output-dir", str(tmp_path), *asked], catch_exceptions=False)
    assert done.exit_code == 0
    assert "| risky, 1 % | 50.0 (40.4-59.6)" in (tmp_path / "table.md").read_text()


class TestCommittedResults:
    @pytest.fixture
    def results(self):
        return json.loads((RESULTS / "results.json").read_text())

    def test_they_are_those_of_the_committed_seeds(self, results):
        runs = [json.loads((RESULTS / f"seed{seed}.json").read_text()) for seed in results["seeds"]]
        assert all(run["asked"] == {name: results[name] for name in run["asked"]} for run in runs)
        assert {name: results[name] for name in ("figures", "costs")} == summarize_runs(runs, results["test_rows"])

    def test_the_page_shows_their_table(self, results, pages):
        table = make_table(results)
        assert (RESULTS / "table.md").read_text() == table
        assert table in pages
