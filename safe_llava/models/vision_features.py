"""What is read of a vision tower: which of its hidden states, and where in the image their positions lie.

A tower is any model whose hidden states are sequences. Of its config, `hidden_size` and `image_size` must be there.
"""

import copy
import math

import torch
from transformers import PreTrainedConfig


# Towers whose hidden states are those of their layers, whatever comes behind. Of others nothing is known: all runs.
_CUTTABLE = ("clip_vision_model", "siglip_vision_model")


def find_vision_layers(config: PreTrainedConfig) -> list[int]:
    """The hidden states that the safety head reads: as the config counts them, negative ones from the last."""
    layers = config.safety_feature_layer
    return [layers] if isinstance(layers, int) else list(layers)


def count_vision_layers(config: PreTrainedConfig) -> int | None:
    """
    How many layers of the vision tower make the hidden states that are read; `None` where that is not known, and all
    of them must run. LLaVA-1.5 reads the last state but one, and the last layer would run for nothing.
    """
    if config.vision_config.model_type not in _CUTTABLE:
        return None
    num_states = config.vision_config.num_hidden_layers + 1
    return max(layer % num_states for layer in find_vision_layers(config))


def shorten_vision_tower(config: PreTrainedConfig) -> tuple[PreTrainedConfig, list[int]]:
    """The configuration of the vision tower up to the last layer that is read, and the states to read of that."""
    vision_config, layers, num_layers = copy.deepcopy(config.vision_config), find_vision_layers(config), None
    if (num_layers := count_vision_layers(config)) is not None:
        num_states = vision_config.num_hidden_layers + 1
        vision_config.num_hidden_layers, layers = num_layers, [layer % num_states for layer in layers]
    return vision_config, layers


def find_patch_grid(config: PreTrainedConfig, states: torch.Size, images: torch.Size) -> tuple[int, int]:
    """
    Patches per column and per row of the images. They are the last positions of the vision tower's hidden states,
    behind a CLS token or others that are no patches.

    By the tower's patch size where this explains all positions but a CLS token. A tower whose features are coarser
    than the patches that it begins with, or whose config names no size, has a grid in the image's proportions. What is
    left are patches behind several other tokens, such as registers.

    Args:
        config ([`SafeLlavaConfig`]): its vision tower's `patch_size` is tried first, where there is one.
        states (`torch.Size`): `(num_images, sequence_length, vision_hidden_size)`.
        images (`torch.Size`): `(num_images, num_channels, height, width)`.

    Raises:
        ValueError: if the hidden states are no sequences, or these no grid of patches.
    """
    if len(states) != 3:
        raise ValueError(
            f"The vision tower's hidden states must be sequences, of shape (images, positions, width), not "
            f"{tuple(states)}. Flatten the feature map in the tower's `forward`."
        )
    (_, positions, _), (height, width) = states, images[-2:]
    size = getattr(config.vision_config, "patch_size", None)
    by_size = (height // size, width // size) if isinstance(size, int) else (0, 0)
    num_patches = by_size[0] * by_size[1]
    if num_patches and positions - num_patches in (0, 1):
        return by_size
    for others in (0, 1):
        rows = math.isqrt((positions - others) * height // width)
        if rows and rows * rows * width == (positions - others) * height:
            return rows, (positions - others) // rows
    if 0 < num_patches < positions:
        return by_size
    raise ValueError(
        f"The vision tower makes {positions} features of an image of {width} x {height} pixels, which are no grid of "
        "patches. Set `vision_config.patch_size` to the pixels from one feature to the next."
    )
