"""Arguments of `generate` that are refused: what a policy cannot be enforced on, and what would have no effect."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import PreTrainedConfig
from transformers.cache_utils import Cache


_OF_TRAINING = ("output_safety_logits", "safety_level", "safety_type")
CACHES = ("cache", "past_key_values", "cache_params")  # What the versions of transformers call it.
_OF_THE_TOWER = ("vision_feature_layer", "vision_feature_select_strategy")
_UNASSESSED = ("inputs_embeds", *CACHES, *_OF_THE_TOWER)


def refuse_arguments_of_forward(arguments: Mapping[str, Any]) -> None:
    """Raises a `ValueError` where an argument has an effect in `forward` alone."""
    if given := [name for name in _OF_TRAINING if arguments.get(name) is not None]:
        raise ValueError(
            f"`{given[0]}` has no effect in `generate`, which runs the safety head once, before the answer. Leave it "
            "out; `model.assess(**inputs)` gives the verdict."
        )


def refuse_what_cannot_be_assessed(arguments: Mapping[str, Any], config: PreTrainedConfig) -> None:
    """Raises a `ValueError` where images could reach the language model past the safety head."""
    given = {name: arguments[name] for name in _UNASSESSED if arguments.get(name) is not None}
    if "inputs_embeds" in given:
        raise ValueError(
            "A safety policy needs the prompt as `input_ids`, not as `inputs_embeds`: images that are merged into it "
            "go unseen, and the question is read from the ids. Pass `input_ids` and `pixel_values`, or, where there "
            "is no image, switch the policy off with `safety_policy=False`."
        )
    for name in CACHES:
        if name in given and (not isinstance(given[name], Cache) or given[name].get_seq_length() > 0):
            raise ValueError(
                f"`{name}` of an earlier call cannot be continued under a safety policy, for its images would go "
                f"unseen. Pass the whole conversation with its images and no `{name}`."
            )
    for name in _OF_THE_TOWER:
        if name in given and given[name] != getattr(config, name):
            raise ValueError(
                f"`{name}={given[name]!r}` would show the safety head what it was not trained on: it knows "
                f"{getattr(config, name)!r}. Leave it out, or switch the policy off with `safety_policy=False`."
            )


def find_prompt(inputs: torch.Tensor | None, input_ids: torch.Tensor | None) -> torch.Tensor | None:
    """The prompt, under whichever of its two names it came. Raises a `ValueError` where both were used."""
    if inputs is not None and input_ids is not None:
        raise ValueError("`inputs` and `input_ids` are the same argument. Pass one of the two.")
    return inputs if input_ids is None else input_ids


def check_prompt(input_ids: torch.Tensor | None) -> None:
    """Raises a `ValueError` unless the prompt is there as token ids."""
    if input_ids is None or input_ids.ndim != 2 or input_ids.is_floating_point():
        raise ValueError(
            "A safety policy needs the prompt as `input_ids` of shape (batch_size, sequence_length), for the question "
            "is read from it. Pass them, or switch the policy off with `safety_policy=False`."
        )
