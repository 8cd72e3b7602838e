"""A checkpoint is told from others, and from what is none."""

import pytest

from safe_llava.checkpoints import identify_checkpoint


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


def test_what_is_no_checkpoint_is_named(tmp_path):
    with pytest.raises(ValueError, match="nothing cannot be loaded as a model, neither as a folder nor as a Hub id"):
        identify_checkpoint(tmp_path / "nothing")
