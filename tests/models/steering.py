"""What tests of steered generation share."""

import torch


REFUSE = {"actions": {"high": "refuse"}}
GREEDY = {"max_new_tokens": 6, "do_sample": False}


def count_calls(module) -> list[int]:
    lengths: list[int] = []
    module.register_forward_pre_hook(
        lambda module, args, kwargs: lengths.append(kwargs.get("inputs_embeds", torch.zeros(1, 1)).shape[1]),
        with_kwargs=True,
    )
    return lengths


def hint_of(model, level: str, risk_type: str) -> list[int]:
    return model.config.safety_policy_token_ids["texts"]["hint"][model.safety_policy.hints[risk_type][level]]


def images_of(inputs) -> dict:
    """What the processor gave of images, whatever the model takes of them."""
    return {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
