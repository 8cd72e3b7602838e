"""Stage 2 on features of vision layers drawn at random, so that no early exit of the tower is new to a model."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel


def draw_vision_layers(model: PreTrainedModel) -> None:
    """
    Lets the language model read, while it trains, another layer of the vision tower for each image: any of them, each
    as likely as another, in the place of `config.vision_feature_layer`. In evaluation nothing changes. The cheap twin
    of L-PPO ("Unfair Alignment", arXiv 2411.04291, section 5): its features, and plain supervised training on them.

    Args:
        model ([`SafeLlavaForConditionalGeneration`]): changed in place; not its PEFT, DDP or FSDP wrapper.

    Raises:
        ValueError: if the model has a safety head, which would be told of layers that it does not know; if it reads
            several layers; or at the first image, if there are not several layers of one width.
    """
    layer = model.config.vision_feature_layer
    if model.config.use_safety_head:
        raise ValueError(
            "`random_vision_layers` is for models without a safety head: it reads the layers that it was trained on. "
            "Convert with `use_safety_head=False`."
        )
    if not isinstance(layer, int):
        raise ValueError(f"`random_vision_layers` draws one layer for each image, and {layer} are read.")

    def keep_all(tower: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        return args, kwargs | ({"output_hidden_states": True} if model.training else {})

    def draw(tower: nn.Module, args: tuple, output: Any) -> Any:
        if not model.training:
            return output
        states = list(output.hidden_states)
        outputs = states[1:]  # The first is what goes into the first layer.
        if len(outputs) < 2 or len({state.shape for state in outputs}) > 1:
            shapes = [tuple(state.shape[1:]) for state in states]
            raise ValueError(
                f"`random_vision_layers` needs a tower of several layers of one shape; this one's hidden states have "
                f"the shapes {shapes}."
            )
        images = torch.arange(len(states[0]), device=states[0].device)
        drawn = torch.randint(len(outputs), images.shape, device=images.device)
        states[layer] = torch.stack(outputs)[drawn, images]
        output.hidden_states = tuple(states)
        return output

    model.model.vision_tower.register_forward_pre_hook(keep_all, with_kwargs=True)
    model.model.vision_tower.register_forward_hook(draw)
