import pytest
import torch

from safe_llava import SafeLlavaConfig
from safe_llava.models.safety_projector import CAbstractor, PatchMLP


@pytest.fixture
def config() -> SafeLlavaConfig:
    return SafeLlavaConfig(
        vision_config={"hidden_size": 16, "num_attention_heads": 2, "image_size": 30, "patch_size": 6},
        text_config={"model_type": "llama", "hidden_size": 32},
        num_safety_visual_tokens=9,
    )


def test_c_abstractor_pools_any_grid_into_q_tokens(config):
    projector = CAbstractor(config)
    assert projector(torch.randn(2, 25, 16), (5, 5)).shape == (2, 9, 32)
    assert projector(torch.randn(2, 24, 16), (4, 6)).shape == (2, 9, 32)


def test_c_abstractor_mixes_neighbouring_patches(config):
    patches = torch.randn(1, 25, 16, requires_grad=True)
    CAbstractor(config)(patches, (5, 5))[0, 0].sum().backward()
    assert (patches.grad.abs().sum(dim=-1) > 0).all()


def test_patch_mlp_keeps_every_patch_to_itself(config):
    patches = torch.randn(1, 25, 16, requires_grad=True)
    projected = PatchMLP(config)(patches, (5, 5))
    assert projected.shape == (1, 25, 32)
    projected[0, 3].sum().backward()
    assert patches.grad.abs().sum(dim=-1).nonzero()[:, 1].tolist() == [3]


@pytest.mark.parametrize("projector_class", [CAbstractor, PatchMLP])
def test_dropout_hides_features_in_training_and_none_afterwards(config, projector_class):
    plain = projector_class(config)
    config.safety_feature_dropout = 0.5
    projector = projector_class(config)
    projector.load_state_dict(plain.state_dict())
    patches = torch.randn(1, 25, 16)
    assert not torch.allclose(projector.train()(patches, (5, 5)), plain(patches, (5, 5)))
    torch.testing.assert_close(projector.eval()(patches, (5, 5)), plain(patches, (5, 5)))
