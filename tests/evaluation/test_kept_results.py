"""Kept results belong to one checkpoint and one set of settings."""

import pytest

from safe_llava.evaluation.kept_results import check_settings, identify_checkpoint


@pytest.fixture
def checkpoint(tmp_path, tiny_safe_llava):
    tiny_safe_llava.config.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_a_checkpoint_that_was_trained_on_is_another_one(checkpoint):
    before = identify_checkpoint(checkpoint)
    (checkpoint / "model.safetensors").write_bytes(b"new weights")
    assert identify_checkpoint(checkpoint) != before


@pytest.mark.parametrize("name", ["README.md", "evaluation.json"])
def test_a_new_card_leaves_a_checkpoint_the_same(checkpoint, name):
    before = identify_checkpoint(checkpoint)
    (checkpoint / name).write_text("new")
    assert identify_checkpoint(checkpoint) == before


def test_settings_that_changed_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"other settings: seed, judge changed\. Take another output folder"):
        check_settings(tmp_path, {"seed": 0, "judge": "a", "limit": 3}, {"seed": 1, "judge": "b", "limit": 3})


def test_a_setting_that_json_spells_otherwise_is_the_same(tmp_path):
    check_settings(tmp_path, {"types": ["privacy"]}, {"types": ("privacy",)})


def test_what_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(ValueError, match="nothing cannot be loaded, neither as a folder nor as a Hub id"):
        identify_checkpoint(tmp_path / "nothing")
