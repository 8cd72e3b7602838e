"""A source that is not whole is refused by name, and leaves nothing behind."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from stock_checkpoints import SIZES

from safe_llava.conversion import convert_llava_checkpoint


def edit_json(path: Path, change: Callable[[dict], object]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


class TestRefusals:
    """A source that is not whole is refused by name, and leaves nothing behind."""

    @pytest.fixture(autouse=True)
    def nothing_is_written(self, tmp_path):
        yield
        assert {path.name for path in tmp_path.iterdir()} <= {"source"}

    def refuse(self, source: Path, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            convert_llava_checkpoint(source, source.parent / "output", **SIZES)

    @pytest.mark.parametrize("key", ["language_model.lm_head.weight", "vision_tower.vision_model.pre_layrnorm.bias"])
    def test_a_missing_tensor(self, source, key):
        weights = load_file(source / "model.safetensors")
        del weights[key]
        save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
        self.refuse(source, ValueError, r"1 weights are missing: .*(lm_head.weight|pre_layrnorm.bias)")

    def test_an_unknown_tensor(self, source):
        weights = load_file(source / "model.safetensors") | {"language_model.model.layers.9.odd": torch.ones(1)}
        save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
        self.refuse(source, ValueError, r"1 weights are unknown: .*layers.9.odd")

    def test_a_tensor_of_another_shape(self, source):
        weights = load_file(source / "model.safetensors")
        weights["multi_modal_projector.linear_1.bias"] = torch.ones(7)
        save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
        self.refuse(source, ValueError, r"of another shape: .*linear_1.bias")

    def test_a_file_that_was_cut_off(self, source):
        os.truncate(source / "model.safetensors", (source / "model.safetensors").stat().st_size - 100)
        self.refuse(source, ValueError, r"model.safetensors is cut off or damaged")

    def test_a_missing_shard(self, sharded_source):
        next(sharded_source.glob("*-00002-*.safetensors")).unlink()
        self.refuse(sharded_source, FileNotFoundError, r"lacks the weight file model-00002")

    def test_weights_that_are_no_safetensors(self, source):
        (source / "model.safetensors").rename(source / "pytorch_model.bin")
        self.refuse(source, FileNotFoundError, r"lacks the weight file model.safetensors.*safetensors")

    def test_a_checkpoint_of_another_model(self, source):
        edit_json(source / "config.json", lambda config: config.update(model_type="llava_next_video"))
        self.refuse(source, ValueError, r"`model_type` is 'llava_next_video'")

    def test_a_safellava(self, source):
        edit_json(source / "config.json", lambda config: config.update(model_type="safe_llava"))
        self.refuse(source, ValueError, r"`model_type` is 'safe_llava'")

    def test_a_quantized_checkpoint(self, source):
        edit_json(source / "config.json", lambda config: config.update(quantization_config={"quant_method": "x"}))
        self.refuse(source, ValueError, r"quantized")

    def test_a_tokenizer_with_another_image_token(self, source):
        edit_json(source / "config.json", lambda config: config.update(image_token_index=7))
        self.refuse(source, ValueError, r"`image_token_id` in config.json is 7")

    def test_a_folder_without_config(self, tmp_path):
        (tmp_path / "source").mkdir()
        self.refuse(tmp_path / "source", FileNotFoundError, r"no config.json")

    def test_a_path_that_does_not_exist(self, tmp_path):
        self.refuse(tmp_path / "source", FileNotFoundError, r"is no folder")


def test_an_output_that_is_not_empty_is_left_alone(source, tmp_path):
    (tmp_path / "output").mkdir()
    (tmp_path / "output" / "precious").write_text("kept")
    with pytest.raises(FileExistsError, match="is not empty"):
        convert_llava_checkpoint(source, tmp_path / "output", **SIZES)
    assert [path.name for path in (tmp_path / "output").iterdir()] == ["precious"]
