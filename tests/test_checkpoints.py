"""A checkpoint is told from others, and from what is none."""

import pytest

from safe_llava.checkpoints import identify_checkpoint, read_config


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


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"model_type": "nonsense"}',
        b'{"model_type": ["safe_llava"]}',
        b'{"model_type": "safe_llava", "num_safety_tokens": "many"}',
        b'{"model_type": "safe_llava", "text_config": {"model_type": "nonsense"}}',
        b'{"model_type": "safe_llava", "vision_config": {"model_type": "clip_vision_model", "patch_size": 0}}',
    ],
    ids=lambda content: content[:70].decode(errors="replace"),
)
def test_a_broken_config_is_named_in_one_line(checkpoint, content):
    (checkpoint / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"model cannot be loaded as a model.*config\.json") as caught:
        read_config(checkpoint)
    assert "\n" not in str(caught.value)
