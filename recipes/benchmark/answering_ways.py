"""The ways to answer the same request, on the same backbone weights."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig

from safe_llava.family import FAMILY
from safe_llava.models.safety_policy_tokens import tokenize_policy
from safe_llava.models.safety_trust import record_training

from .request import load_processor, make_inputs, make_policy, make_prompt
from .shapes import build, safe_config, stock_class
from .two_pass import TEXT_LENGTH, AuthorsHead, TwoPasses


WAYS = {
    "stock": "stock LLaVA",
    "off": "policy off",
    "answering": "assessed, answered",
    "hinting": "assessed, answered after a hint",
    "refusing": "assessed, refused by policy",
    "two_pass": "two passes, the authors' way",
    "two_pass_short": "two passes, second not padded",
    "guard_then_answer": "guard, then stock LLaVA",
}
POLICY_ACTIONS = {"answering": "answer", "hinting": "hint", "refusing": "refuse"}
_PARTS = {"stock": ("stock",), "guard_then_answer": ("guard", "stock"), "off": ("safe",)}
_PARTS |= dict.fromkeys(POLICY_ACTIONS, ("safe",)) | dict.fromkeys(("two_pass", "two_pass_short"), ("safe", "head"))

Ask = Callable[..., Any]
"""Answers the request once. Takes what `generate` takes beyond the prompt: `max_new_tokens`, `stopping_criteria`."""


def build_models(base: PreTrainedConfig, ways: list[str], device: str, dtype: torch.dtype) -> dict[str, Any]:
    """The models that these ways need. Where there are several, they share one backbone."""
    needed = {part for way in ways for part in _PARTS[way]}
    models: dict[str, Any] = {}
    config = safe_config(base)
    member: Any = FAMILY[config.model_type]
    if "stock" in needed:
        models["stock"] = build(stock_class(base), base, device, dtype)
    if "safe" in needed:
        models["safe"] = safe = build(member.generator, config, device, dtype)
        safe.set_safety_policy(make_policy(), load_processor())
        raise_alarm(safe.model.safety_modules.head)
        if "stock" in models:
            share_modules(models["stock"], safe)
    if "guard" in needed:
        models["guard"] = guard = build(member.guard, config, device, dtype)
        raise_alarm(guard.model.safety_modules.head)
    if "head" in needed:
        with torch.device(device):
            head = AuthorsHead(config.text_config.hidden_size, config.safety_head_num_attention_heads)
        models["head"] = head.to(dtype).eval()
    for model in (models.get("safe"), models.get("guard")):
        if model is not None:
            # Random weights count as trained here, and what is looked into once is not what an answer costs.
            model.config = copy.deepcopy(model.config)
            record_training(model)
            model.explain_distrust()
            model._has_looked_at_pixels = True
    for model in (models.get("stock"), models.get("safe")):
        if model is not None:
            # Random weights must not end an answer early.
            model.generation_config.update(eos_token_id=None, pad_token_id=0, do_sample=False)
    return models


def raise_alarm(head: Any) -> None:
    """A verdict of high risk on every image, for random weights find none; what is done then is the policy's."""
    with torch.no_grad():
        head.level_classifier.bias[-1] = 100.0


def share_modules(stock: nn.Module, safe: nn.Module) -> None:
    for name in ("vision_tower", "multi_modal_projector", "language_model"):
        setattr(safe.model, name, getattr(stock.model, name))
    safe.lm_head = stock.lm_head


def make_way(way: str, base: PreTrainedConfig, models: dict[str, Any], batch_size: int) -> Ask:
    """A function that answers the request in this way."""
    model = models.get("stock") or models["safe"]
    device, dtype = model.device.type, model.dtype
    config = safe_config(base)
    token_ids = token_ids_of_policy()

    def inputs(for_config: PreTrainedConfig, **kwargs: Any) -> dict[str, torch.Tensor]:
        prompt = make_prompt(for_config, token_ids["assistant_turn"], **kwargs)
        return make_inputs(for_config, prompt, batch_size, device, dtype)

    if way == "stock":
        asked = inputs(base)
        return lambda **kwargs: models["stock"].generate(**asked, **kwargs)
    if way == "guard_then_answer":
        asked, assessed = inputs(base), inputs(config)

        def guard_then_answer(**kwargs: Any) -> Any:
            models["guard"].assess(**assessed).to_list()
            return models["stock"].generate(**asked, **kwargs)

        return guard_then_answer
    if way.startswith("two_pass"):
        hint = token_ids["hint"]
        length = {} if way == "two_pass_short" else {"num_text_tokens": TEXT_LENGTH - 1 - len(hint)}
        asked = inputs(config, hint=hint, **length)
        images = {name: value for name, value in asked.items() if name not in ("input_ids", "attention_mask")}
        text_ids = torch.full((batch_size, TEXT_LENGTH), 5, device=device)
        two_passes = TwoPasses(models["safe"], models["head"])
        return lambda **kwargs: two_passes.generate(text_ids, asked["input_ids"], images, **kwargs)

    policy: Any = False
    if way in POLICY_ACTIONS:
        policy = {"actions": dict.fromkeys(("low", "medium", "high"), POLICY_ACTIONS[way])}
    asked = inputs(config)
    return lambda **kwargs: models["safe"].generate(**asked, safety_policy=policy, **kwargs)


def token_ids_of_policy() -> dict[str, list[int]]:
    """The ids of the assistant's turn and of the hint."""
    found = tokenize_policy(make_policy(), load_processor())
    return {"assistant_turn": found["assistant_turn"], "hint": next(iter(found["texts"]["hint"].values()))}
