"""Safety weights that a checkpoint lacks are drawn as designed, and those that it has are read."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import LlavaConfig, LlavaForConditionalGeneration

from safe_llava import SafeLlavaConfig, SafeLlavaForConditionalGeneration, SafeLlavaForSafetyClassification
from safe_llava.conversion import convert_llava_checkpoint
from safe_llava.models.safety_modules import SafetyModules
from safe_llava.models.safety_tokens import SafetyTokens


PREFIX = "model.safety_modules."
STORED = 3.0
"""What every safety weight of the checkpoint is filled with: nothing that is drawn comes near it."""


@pytest.fixture(scope="module")
def wide_llava(tiny_llava) -> LlavaForConditionalGeneration:
    """Wide enough that the spread of a layer's weights is known to a few percent."""
    config = tiny_llava.config.to_dict()
    config["text_config"] |= {"hidden_size": 256, "head_dim": 64, "initializer_range": 0.02}
    config["vision_config"] |= {"hidden_size": 128}
    torch.manual_seed(0)
    return LlavaForConditionalGeneration(LlavaConfig.from_dict(config))


@pytest.fixture(scope="module")
def config(wide_llava) -> SafeLlavaConfig:
    stock = {
        key: value for key, value in wide_llava.config.to_dict().items() if key not in ("model_type", "architectures")
    }
    return SafeLlavaConfig(**stock, num_safety_visual_tokens=9, safety_projector_hidden_size=192)


@pytest.fixture
def checkpoint_without(config, tmp_path) -> Callable[[Callable[[str], bool]], Path]:
    """A checkpoint that lacks the safety weights whose names, without `PREFIX`, are chosen."""

    def save(is_lacking: Callable[[str], bool]) -> Path:
        SafeLlavaForConditionalGeneration(config).save_pretrained(tmp_path / "checkpoint")
        path = tmp_path / "checkpoint" / "model.safetensors"
        weights = {
            key: torch.full_like(value, STORED) if key.startswith(PREFIX) else value
            for key, value in load_file(path).items()
            if not (key.startswith(PREFIX) and is_lacking(key.removeprefix(PREFIX)))
        }
        save_file(weights, path, metadata={"format": "pt"})
        return tmp_path / "checkpoint"

    return save


def assert_drawn_as_designed(modules: SafetyModules, is_drawn: Callable[[str], bool] = lambda name: True) -> None:
    """Weights spread by 1 / sqrt(fan-in), tokens by 0.02; norms are the identity, biases zero; the rest was read."""
    spreads = {}
    for module_name, module in modules.named_modules():
        for name, value in module.named_parameters(recurse=False):
            value, name = value.detach(), f"{module_name}.{name}"
            if not is_drawn(name):
                assert (value == STORED).all(), name
            elif isinstance(module, SafetyTokens):
                spreads[name] = (value, 0.02)
            elif name.endswith("bias"):
                assert (value == 0).all(), name
            elif isinstance(module, nn.LayerNorm):
                assert (value == 1).all(), name
            else:
                assert isinstance(module, nn.Linear | nn.Conv2d), name
                spreads[name] = (value, value[0].numel() ** -0.5)
    for name, (value, std) in spreads.items():
        # Five standard errors of the spread and of the mean.
        assert value.std().item() == pytest.approx(std, rel=5 * (2 * value.numel()) ** -0.5), name
        assert value.mean().item() == pytest.approx(0, abs=5 * std * value.numel() ** -0.5), name


@pytest.mark.parametrize("model_class", [SafeLlavaForConditionalGeneration, SafeLlavaForSafetyClassification])
def test_a_checkpoint_without_safety_weights_gets_all_of_them_drawn(checkpoint_without, model_class):
    model = model_class.from_pretrained(checkpoint_without(lambda name: True))
    assert_drawn_as_designed(model.model.safety_modules)


def test_a_stock_checkpoint_read_as_a_safe_llava_gets_all_of_them_drawn(wide_llava, config, tmp_path):
    wide_llava.save_pretrained(tmp_path / "stock")
    model = SafeLlavaForConditionalGeneration.from_pretrained(tmp_path / "stock", config=config)
    assert_drawn_as_designed(model.model.safety_modules)


def test_a_converted_stock_checkpoint_has_all_of_them_drawn(wide_llava, tiny_llava_processor, tmp_path):
    wide_llava.save_pretrained(tmp_path / "stock")
    tiny_llava_processor.save_pretrained(tmp_path / "stock")
    convert_llava_checkpoint(
        tmp_path / "stock", tmp_path / "converted", num_safety_visual_tokens=9, safety_projector_hidden_size=192
    )
    model, info = SafeLlavaForConditionalGeneration.from_pretrained(tmp_path / "converted", output_loading_info=True)
    assert not info["missing_keys"]
    assert_drawn_as_designed(model.model.safety_modules)


@pytest.mark.parametrize(
    "is_lacking",
    [
        lambda name: name.endswith("weight"),
        lambda name: name.endswith("bias"),
        lambda name: name.startswith("projector."),
        lambda name: name.startswith("projector.blocks_before.0."),
        lambda name: name == "head.query_layer.weight",
        lambda name: name in ("tokens.head_tokens", "projector.blocks_after.2.conv2.weight"),
    ],
    ids=["weights", "biases", "projector", "first_block", "one_layer", "one_set_of_tokens_and_a_convolution"],
)
def test_of_a_checkpoint_that_lacks_some_those_are_drawn_and_the_others_read(checkpoint_without, is_lacking):
    checkpoint = checkpoint_without(is_lacking)
    model, info = SafeLlavaForConditionalGeneration.from_pretrained(checkpoint, output_loading_info=True)
    assert {name.removeprefix(PREFIX) for name in info["missing_keys"]} == {
        name for name, _ in model.model.safety_modules.named_parameters() if is_lacking(name)
    }
    assert_drawn_as_designed(model.model.safety_modules, is_lacking)


@pytest.mark.parametrize("projector", ["c_abstractor", "mlp"])
@pytest.mark.parametrize("pooling", ["question", "first"])
def test_a_new_model_has_all_of_them_drawn(config, projector, pooling):
    changes = {"safety_projector_type": projector, "safety_head_pooling": pooling}
    model = SafeLlavaForConditionalGeneration(SafeLlavaConfig(**{**config.to_dict(), **changes}))
    assert_drawn_as_designed(model.model.safety_modules)
