"""What of the small LLaVA its training on scenes changes, and how fast."""

import pytest
from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from recipes.smol.train_llava import LEARNING_RATE, PROJECTOR_LEARNING_RATE, add_adapters, build_optimizer
from safe_llava.smol.lite0_tower import Lite0VisionConfig


@pytest.fixture(scope="module")
def model():
    text = LlamaConfig(vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    config = LlavaConfig(vision_config=Lite0VisionConfig(), text_config=text, image_token_index=31)
    return add_adapters(LlavaForConditionalGeneration(config))


def trained(model) -> dict:
    return {name: weight for name, weight in model.named_parameters() if weight.requires_grad}


def test_adapters_and_projector_are_trained_and_the_tower_is_not(model):
    assert {next(part for part in ("lora_", "multi_modal_projector") if part in name) for name in trained(model)} == {
        "lora_",
        "multi_modal_projector",
    }


def test_the_projector_learns_more_slowly_than_the_adapters(model):
    rates = {id(weight): group["lr"] for group in build_optimizer(model).param_groups for weight in group["params"]}
    assert {name: rates[id(weight)] for name, weight in trained(model).items()} == {
        name: LEARNING_RATE if "lora_" in name else PROJECTOR_LEARNING_RATE for name in trained(model)
    }
    assert PROJECTOR_LEARNING_RATE < LEARNING_RATE
