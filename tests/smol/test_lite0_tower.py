import copy

import pytest
import torch
from smol_stand_in import IMAGE_SIZE
from torch.nn import functional as F
from transformers import LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

import safe_llava  # noqa: F401 (registers the tower)
from safe_llava.smol.lite0_tower import Lite0VisionConfig, Lite0VisionModel


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(3, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(0)) * 2 - 1


def build_tower(zoom: int = 1) -> Lite0VisionModel:
    torch.manual_seed(0)
    return Lite0VisionModel(Lite0VisionConfig(image_size=IMAGE_SIZE, zoom=zoom))


def build_llava() -> LlavaForConditionalGeneration:
    """A stock LLaVA, which knows nothing of this tower."""
    language = LlamaConfig(
        vocab_size=32, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
    )
    return LlavaForConditionalGeneration(
        LlavaConfig(vision_config=Lite0VisionConfig(image_size=IMAGE_SIZE), text_config=language)
    )


@pytest.mark.parametrize("build", [build_tower, build_llava])
def test_what_trains_it_leaves_its_batch_statistics_alone(build, images):
    model = build()
    before = copy.deepcopy(dict(model.named_buffers()))
    tower = model if isinstance(model, Lite0VisionModel) else model.model.vision_tower
    for mode in (False, True):
        model.train(mode)
        tower(images)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


def test_it_sees_an_image_the_same_whatever_stands_beside(images):
    tower = build_tower().train()
    together = tower(images).last_hidden_state
    alone = torch.cat([tower(image[None]).last_hidden_state for image in images])
    torch.testing.assert_close(together, alone)


def test_its_weights_train(images):
    tower = build_tower().train()
    tower(images).last_hidden_state.sum().backward()
    assert all(parameter.grad is not None for parameter in tower.parameters())


def test_zoom_is_to_see_the_image_enlarged_in_as_many_places(images):
    zoomed = build_tower(zoom=2)(images).last_hidden_state
    large = build_tower()(F.interpolate(images, scale_factor=2, mode="bilinear")).last_hidden_state
    side = IMAGE_SIZE // 32
    assert zoomed.shape == (3, side**2, 1280)
    places = large.transpose(1, 2).unflatten(2, (2 * side, 2 * side))
    torch.testing.assert_close(zoomed, F.avg_pool2d(places, 2).flatten(2).transpose(1, 2))
