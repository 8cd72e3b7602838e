"""Any tower whose hidden states are sequences: the guard says what the model says, and evidence lies on its grid."""

import copy
from typing import Any

import pytest
import torch
from transformers import (
    AutoProcessor,
    Dinov2WithRegistersConfig,
    PreTrainedConfig,
    SwinConfig,
    ViTConfig,
)

from safe_llava import SafeLlavaForConditionalGeneration, SafeLlavaForSafetyClassification
from safe_llava.conversion import convert_llava_checkpoint
from safe_llava.models.safety_trust import find_distrust, record_training
from safe_llava.models.safety_weight_digest import matches_digest
from safe_llava.models.vision_features import find_patch_grid
from tests.foreign_llava import IMAGE_SIZE, build_foreign_llava


SIZES = {"num_safety_tokens": 2, "num_safety_visual_tokens": 9, "safety_head_num_attention_heads": 4}
LAYERS = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "image_size": IMAGE_SIZE}


# A map as a sequence; registers between CLS token and patches; features four times coarser than the patches; layers.
TOWERS: dict[str, tuple[PreTrainedConfig | None, dict[str, Any]]] = {
    "convolutions": (None, {}),
    "registers": (Dinov2WithRegistersConfig(patch_size=8, num_register_tokens=4, **LAYERS), {}),
    "coarser": (
        SwinConfig(image_size=IMAGE_SIZE, patch_size=2, embed_dim=4, depths=[1] * 3, num_heads=[2] * 3, window_size=4),
        {},
    ),
    "two layers, no CLS token": (
        ViTConfig(patch_size=8, **LAYERS),
        {"vision_feature_layer": [-3, -1], "vision_feature_select_strategy": "default"},
    ),
}


@pytest.fixture(scope="module", params=TOWERS)
def foreign(request, tmp_path_factory, make_image):
    """A converted model with a record of its training, its folder, a batch for it, and the stock rows of its image."""
    folder = tmp_path_factory.mktemp("foreign")
    vision_config, fields = TOWERS[request.param]
    stock, processor = build_foreign_llava(copy.deepcopy(vision_config), **fields)
    stock.save_pretrained(folder / "source")
    processor.save_pretrained(folder / "source")
    convert_llava_checkpoint(folder / "source", folder / "model", **SIZES)
    model = SafeLlavaForConditionalGeneration.from_pretrained(folder / "model")
    record_training(model)
    model.save_pretrained(folder / "model")
    parts = [{"type": "image", "image": make_image(0)}, {"type": "text", "text": "Who is this?"}]
    inputs = AutoProcessor.from_pretrained(folder / "model").apply_chat_template(
        [{"role": "user", "content": parts}], tokenize=True, return_dict=True, return_tensors="pt"
    )
    rows = stock.get_image_features(inputs["pixel_values"], return_dict=True).pooler_output[0]
    return SafeLlavaForConditionalGeneration.from_pretrained(folder / "model"), folder / "model", inputs, rows


def test_the_language_model_reads_what_it_reads_in_the_source(foreign):
    model, _, inputs, rows = foreign
    assert torch.equal(model.get_image_features(inputs["pixel_values"]).pooler_output[0][2:], rows)


def test_an_image_takes_the_placeholders_that_its_tower_fills(foreign):
    model, _, inputs, rows = foreign
    assert (inputs["input_ids"] == model.config.image_token_id).sum() == len(rows) + 2 == model.config.image_seq_length


def test_the_guard_gives_the_verdict_of_the_model(foreign, tmp_path):
    model, folder, inputs, _ = foreign
    guard = SafeLlavaForSafetyClassification.from_pretrained(folder)
    guard.save_pretrained(tmp_path)
    expected = model.assess(**inputs)
    assert expected.trusted.all()
    for assessing in (guard, SafeLlavaForSafetyClassification.from_pretrained(tmp_path)):
        found = assessing.assess(**inputs)
        assert found.trusted.all()
        torch.testing.assert_close(found.level_logits, expected.level_logits, rtol=0, atol=1e-6)
        torch.testing.assert_close(found.type_logits, expected.type_logits, rtol=0, atol=1e-6)
        assert find_distrust(assessing) is None


def test_evidence_lies_on_the_grid_of_the_tower(foreign):
    model, _, inputs, _ = foreign
    evidence = model.assess(**inputs, return_evidence=True).evidence
    assert [relevance.shape for relevance in evidence.patch_relevance] == [(1, 4, 4)]


def test_a_change_of_any_weight_of_the_tower_costs_the_trust(foreign):
    model, _, _, _ = foreign
    training = model.config.safety_training
    assert matches_digest(model, training["vocab_size"], training["digests"])
    for name, value in model.model.vision_tower.state_dict().items():
        before = value.clone()
        value += 1 if value.dtype == torch.int64 else value.abs().max() + 1.0
        assert matches_digest(model, training["vocab_size"], training["digests"]) is False, name
        value.copy_(before)


def test_a_frozen_tower_gives_in_training_what_it_gives_in_evaluation(foreign):
    model, _, inputs, _ = foreign
    model, pixel_values = copy.deepcopy(model), inputs["pixel_values"]
    weights = copy.deepcopy(model.model.vision_tower.state_dict())
    expected = model.get_image_features(pixel_values).patch_features
    model.model.vision_tower.requires_grad_(False)
    model.train()
    assert model.training
    assert model.model.language_model.training
    features = model.get_image_features(pixel_values).patch_features
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-6)
    assert all(torch.equal(value, weights[name]) for name, value in model.model.vision_tower.state_dict().items())


def test_a_tower_that_trains_is_in_training_mode(foreign):
    model = copy.deepcopy(foreign[0]).train()
    assert model.model.vision_tower.training


@pytest.mark.parametrize(
    ("patch_size", "positions", "height", "width", "grid"),
    [
        (14, 576, 336, 336, (24, 24)),
        (14, 577, 336, 336, (24, 24)),
        (14, 261, 224, 224, (16, 16)),
        (32, 64, 225, 225, (8, 8)),
        (4, 49, 224, 224, (7, 7)),
        (None, 49, 224, 224, (7, 7)),
        (None, 50, 224, 224, (7, 7)),
        ((14, 14), 256, 224, 224, (16, 16)),
        (None, 32, 40, 80, (4, 8)),
        (14, 32 * 24 + 1, 24 * 14, 32 * 14, (24, 32)),
    ],
)
def test_the_grid_is_what_explains_the_positions(patch_size, positions, height, width, grid):
    config = PreTrainedConfig()
    config.vision_config = PreTrainedConfig()
    config.vision_config.patch_size = patch_size
    assert find_patch_grid(config, torch.Size([1, positions, 8]), torch.Size([1, 3, height, width])) == grid
