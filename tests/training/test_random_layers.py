"""The language model trains on layers of the tower drawn for each image, and answers from the one that it had."""

import copy

import pytest
import torch

from safe_llava import SafeLlavaConfig, SafeLlavaForConditionalGeneration
from safe_llava.training import draw_vision_layers


@pytest.fixture
def headless(tiny_safe_llava):
    values = {**tiny_safe_llava.config.to_dict(), "num_safety_tokens": 0, "use_safety_head": False}
    model = SafeLlavaForConditionalGeneration(SafeLlavaConfig(**values))
    model.load_state_dict(tiny_safe_llava.state_dict(), strict=False)
    # As in stage 2, where a frozen tower stays in evaluation mode.
    return model.requires_grad_(False).eval()


@torch.no_grad()
def read(model, pixels: torch.Tensor) -> torch.Tensor:
    return torch.stack(list(model.get_image_features(pixels, return_dict=True).pooler_output))


@torch.no_grad()
def test_each_image_is_read_from_one_layer_and_every_layer_is_drawn(headless):
    pixels = torch.randn(1, 3, 30, 30).expand(64, -1, -1, -1)
    by_layer = []
    for layer in (1, 2, 3):
        moved = copy.deepcopy(headless)
        moved.config.vision_feature_layer = layer
        by_layer.append(read(moved, pixels[:1])[0])
    draw_vision_layers(headless)
    torch.manual_seed(0)
    features = read(headless.train(), pixels)
    drawn = torch.stack([(features - each).abs().amax(dim=(1, 2)) < 1e-4 for each in by_layer])
    assert (drawn.sum(dim=0) == 1).all()
    assert (drawn.sum(dim=1) > 10).all()


@torch.no_grad()
def test_in_evaluation_the_layer_is_the_trained_one(headless):
    pixels = torch.randn(2, 3, 30, 30)
    before = read(headless, pixels)
    draw_vision_layers(headless)
    assert torch.equal(read(headless.train().eval(), pixels), before)


def test_a_model_with_a_safety_head_is_refused(tiny_safe_llava):
    with pytest.raises(ValueError, match="use_safety_head=False"):
        draw_vision_layers(tiny_safe_llava)


def test_several_layers_at_once_are_refused(headless):
    headless.config.vision_feature_layer = [-2, -1]
    with pytest.raises(ValueError, match="one layer for each image"):
        draw_vision_layers(headless)


def test_a_tower_of_one_hidden_state_is_refused(headless):
    draw_vision_layers(headless)
    tower = headless.train().model.vision_tower
    tower.forward = lambda pixels, **kwargs: type("Output", (), {"hidden_states": (pixels, pixels)})()
    with pytest.raises(ValueError, match="several layers"):
        tower(torch.zeros(1, 3, 30, 30))
