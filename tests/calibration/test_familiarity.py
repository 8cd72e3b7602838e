"""`safe-llava calibrate --familiar-share`: what the model then knows, what it keeps, where it has no effect."""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from datasets import concatenate_datasets
from PIL import Image
from typer.testing import CliRunner, Result

from safe_llava import SafetyPolicy
from safe_llava.calibration import calibrate_policy, collect_logits, fit_familiarity
from safe_llava.calibration.labelled_log import read_labelled_log
from safe_llava.calibration.labelled_rows import Rows, apply_policy, check_rows
from safe_llava.calibration.threshold_walk import first_flagged, walk_thresholds
from safe_llava.cli import app


SHARE = 0.9


@pytest.fixture(scope="module")
def trained(discerning_safe_llava, tiny_processor, tmp_path_factory) -> Path:
    """A checkpoint that knows no familiar images yet, under a policy with a promise."""
    folder = tmp_path_factory.mktemp("trained")
    model = copy.deepcopy(discerning_safe_llava)
    model.config.safety_familiarity = None
    model.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def dataset(noise_rows, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    noise_rows.save_to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def calibrated(trained, dataset, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("calibrated")
    shutil.copytree(trained, folder / "model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("safe_llava.calibration.run_calibration.write_report", lambda *_: None)
        result = calibrate(folder / "model", dataset, folder, "--familiar-share", SHARE)
    assert result.exit_code == 0, result.output
    return folder


def calibrate(model: Path | str, dataset: Path | str, output_dir: Path, *options: object) -> Result:
    return CliRunner().invoke(app, ["calibrate", *map(str, (model, dataset, "--output-dir", output_dir, *options))])


@pytest.fixture
def rows(head) -> Rows:
    """Rows of which every seventh is unfamiliar."""
    scores = head(0, 210)
    return check_rows(**scores, unfamiliar=np.arange(210) % 7 == 0)


def test_the_model_gets_what_the_output_says(calibrated, trained, discerning_safe_llava):
    config = json.loads((calibrated / "model" / "config.json").read_text())
    record = json.loads((calibrated / "familiarity.json").read_text())
    assert config["safety_familiarity"] == record == discerning_safe_llava.config.safety_familiarity
    results = json.loads((calibrated / "calibration.json").read_text())
    assert results["familiarity"] == {"share": SHARE, "rows": {"fitted": 24, "held_out": 24}}
    same = dict.fromkeys(("safety_familiarity", "safety_policy"))
    assert config | same == json.loads((trained / "config.json").read_text()) | same


def test_of_rows_to_come_it_keeps_about_the_share(discerning_safe_llava, tiny_processor, noise_rows, make_image):
    new = noise_rows.map(lambda row, number: {**row, "images": [make_image(1000 + number)]}, with_indices=True)
    unfamiliar = collect_logits(discerning_safe_llava, tiny_processor, new)["unfamiliar"]
    assert unfamiliar.mean() < 0.25  # 0.1 is promised on average; of 48 rows more than 11 have a chance of 0.2 %.


def test_one_image_more_than_the_threshold_is_unfamiliar(discerning_safe_llava, tiny_processor, noise_rows):
    unfamiliar = collect_logits(discerning_safe_llava, tiny_processor, noise_rows)["unfamiliar"]
    held_out = np.random.default_rng(0).permutation(48)[::2]
    assert unfamiliar[held_out].sum() == 24 - np.ceil(25 * SHARE)


def test_a_calibration_without_the_option_keeps_what_the_model_knows(calibrated, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("safe_llava.calibration.run_calibration.write_report", lambda *_: None)
    model = Path(shutil.copytree(calibrated / "model", tmp_path / "model"))
    result = calibrate(model, dataset, tmp_path / "out", "--min-examples", 3)
    assert result.exit_code == 0, result.output
    before, after = (json.loads((path / "config.json").read_text()) for path in (calibrated / "model", model))
    assert before["safety_familiarity"] == after["safety_familiarity"]
    assert "are refused as unlike those that the model was calibrated on" in result.output
    assert not (tmp_path / "out" / "familiarity.json").exists()


def test_what_is_refused_anyway_has_no_part_in_thresholds(head, rows):
    scores = {name: values for name, values in head(0, 210).items() if name != "separate"}
    with_them = calibrate_policy(SafetyPolicy(), **scores, unfamiliar=rows.unfamiliar)
    kept = {name: values[~rows.unfamiliar] for name, values in scores.items()}
    assert with_them.policy == calibrate_policy(SafetyPolicy(), **kept).policy
    assert len(with_them.rows) == 180


@pytest.mark.parametrize(
    ("changes", "is_refused"),
    [
        ({}, True),
        ({"unfamiliar": "assess"}, False),
        ({"types": {name: {"enabled": False} for name in SafetyPolicy().types}}, False),
    ],
)
def test_a_promise_counts_them_as_flagged_where_the_policy_refuses_them(changes, is_refused, rows):
    policy = SafetyPolicy.from_dict(changes)
    by_scores = apply_policy(policy, Rows(rows.level_logits, rows.type_logits, rows.level, rows.type)).is_flagged
    expected = by_scores | rows.unfamiliar if is_refused else by_scores
    assert np.array_equal(apply_policy(policy, rows).is_flagged, expected)


def test_no_threshold_lets_them_pass(rows):
    policy = SafetyPolicy()
    assert (first_flagged(policy, walk_thresholds(policy), rows)[rows.unfamiliar] == 0).all()


def test_a_labelled_line_of_a_log_stays_unfamiliar(write_log, tiny_safe_llava):
    harmless = {"safety_level": "none", "safety_type": "safe"}
    path = write_log([harmless, {**harmless, "trusted": False, "distrust": "unfamiliar"}])
    arrays, _ = read_labelled_log(path, tiny_safe_llava.config.safety_training["digests"])
    assert arrays["unfamiliar"].tolist() == [False, True]


def test_a_model_that_is_left_alone_can_be_given_what_was_written(trained, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("safe_llava.calibration.run_calibration.write_report", lambda *_: None)
    before = (trained / "config.json").read_bytes()
    result = calibrate(trained, dataset, tmp_path, "--familiar-share", SHARE, "--no-update-model")
    assert (trained / "config.json").read_bytes() == before
    assert "keeps 0.9 of rows like them: fitted to 24, with the threshold from 24 others" in result.output
    assert f'model.config.safety_familiarity = json.load(open("{tmp_path / "familiarity.json"}"))' in result.output


class TestRefusals:
    @pytest.mark.parametrize("share", [0, 0.4, 1, 1.5])
    def test_a_share_out_of_range(self, share, trained, dataset, tmp_path):
        result = calibrate(trained, dataset, tmp_path, "--familiar-share", share)
        assert result.exit_code != 0
        assert "must be from 0.5 to below 1" in result.output

    def test_too_few_rows(self, trained, dataset, tmp_path):
        result = calibrate(trained, dataset, tmp_path, "--familiar-share", 0.99)
        assert result.exit_code != 0
        assert "takes at least 198 of them, each with other images, got 48" in result.output

    def test_beside_a_promise(self, trained, dataset, tmp_path):
        result = calibrate(trained, dataset, tmp_path, "--familiar-share", 0.9, "--guarantee", "over_refusal<=0.5")
        assert result.exit_code != 0
        assert "on other rows" in result.output

    def test_rows_without_their_images(self, trained, write_log, tmp_path):
        path = write_log([{"safety_level": "none", "safety_type": "safe"}] * 3)
        result = calibrate(trained, path, tmp_path, "--familiar-share", 0.9)
        assert result.exit_code != 0
        assert "familiar_share" in result.output

    def test_a_model_that_is_not_trusted(self, tiny_safe_llava, tiny_processor, noise_rows):
        model = copy.deepcopy(tiny_safe_llava)
        model.config.safety_training = None
        with pytest.raises(ValueError, match="nothing to calibrate"):
            fit_familiarity(model, tiny_processor, noise_rows, 0.9)


def test_statistics_of_other_weights_are_replaced(discerning_safe_llava, tiny_processor, noise_rows):
    model = copy.deepcopy(discerning_safe_llava)
    known = model.config.safety_familiarity
    model.config.safety_familiarity = {**known, "weights": "0" * 64}
    assert fit_familiarity(model, tiny_processor, noise_rows, SHARE) == known


@pytest.mark.parametrize(("seed", "share", "words"), [(1, SHARE, "got 1"), (None, 0.99, "at least 198")])
def test_rows_that_do_not_do_leave_what_the_model_knows(
    seed, share, words, discerning_safe_llava, tiny_processor, noise_rows, make_image
):
    model = copy.deepcopy(discerning_safe_llava)
    rows = noise_rows if seed is None else noise_rows.map(lambda row: {**row, "images": [make_image(seed)]})
    with pytest.raises(ValueError, match=words):
        fit_familiarity(model, tiny_processor, rows, share)
    assert model.config.safety_familiarity == discerning_safe_llava.config.safety_familiarity


def test_several_questions_about_an_image_count_as_one(discerning_safe_llava, tiny_processor, noise_rows):
    model = copy.deepcopy(discerning_safe_llava)
    record = fit_familiarity(model, tiny_processor, concatenate_datasets([noise_rows] * 2), SHARE)
    assert record["rows"] == discerning_safe_llava.config.safety_familiarity["rows"]
    assert record["threshold"] == pytest.approx(discerning_safe_llava.config.safety_familiarity["threshold"])


def test_images_of_which_the_tower_says_the_same_are_refused(
    discerning_safe_llava, tiny_processor, noise_rows, make_image
):
    model = copy.deepcopy(discerning_safe_llava)
    rows = noise_rows.map(
        lambda row, number: {**row, "images": [Image.new("RGB", (30 + number, 30))]}, with_indices=True
    )
    with pytest.raises(ValueError, match="all alike"):
        fit_familiarity(model, tiny_processor, rows, SHARE)
    assert model.config.safety_familiarity == discerning_safe_llava.config.safety_familiarity
