"""
FLOPs of each way, counted by running the parts on the meta device, where nothing is computed: any shape in seconds.

How often each part runs is written down here; `tests/recipes/benchmark/test_flop_counts.py` holds that against real
calls.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_flop_count
from transformers import DynamicCache

from safe_llava.family import FAMILY
from safe_llava.models.outputs_safe_llava import CACHE_NAME

from .answering_ways import WAYS, token_ids_of_policy
from .request import NUM_TEXT_TOKENS
from .request_images import count_image_rows, make_images
from .shapes import base_config, build, safe_config, stock_class
from .two_pass import TEXT_LENGTH, AuthorsHead, TwoPasses


NUM_NEW_TOKENS = 128
"""Length of the answer in the counts, and in the design's."""

DESIGN_OVER_STOCK = {"answering": 0.09, "hinting": 0.149, "refusing": -0.955, "two_pass": 1.39}
"""What the project's design computed by hand for LLaVA-1.5-7B: FLOPs of a 128-token answer, over stock."""


def make_flop_counter() -> FlopCounterMode:
    """A counter that sees attention on a CPU too, which torch's own table leaves out."""
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
    return FlopCounterMode(display=False, custom_mapping={attention: _count_attention})


def _count_attention(query: Any, key: Any, value: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    return sdpa_flop_count(query, key, value)


@torch.no_grad()
def count(step: Callable[[], Any]) -> int:
    with make_flop_counter() as counter:
        step()
    return counter.get_total_flops()


def count_parameters(shape: str) -> dict[str, int]:
    """Parameters of stock and what is added to them."""
    base = base_config(shape)
    stock, safe = (
        sum(weight.numel() for weight in build(model_class, config, "meta", torch.float32).parameters())
        for model_class, config in (
            (stock_class(base), base),
            (FAMILY[f"safe_{base.model_type}"].generator, safe_config(base)),
        )
    )
    return {"stock": stock, "added": safe - stock}


@torch.no_grad()
def count_ways(shape: str, new_tokens: int = NUM_NEW_TOKENS) -> dict[str, dict[str, int]]:
    """
    FLOPs of one request at a shape: `first_token` and `answer` of each way, and of `least_answering` and
    `least_hinting`. The least is what no way round is known for: one pass of the vision tower, the safety tokens and
    the hint in the prompt, one safety projector. Of the head nothing, for its one query costs next to nothing.
    """
    base = base_config(shape)
    config = safe_config(base)
    member = FAMILY[config.model_type]
    safe: Any = build(member.generator, config, "meta", torch.float32)
    guard: Any = build(member.guard, config, "meta", torch.float32)
    width = config.text_config.hidden_size
    with torch.device("meta"):
        head = AuthorsHead(width, config.safety_head_num_attention_heads)
        text = torch.zeros(1, TEXT_LENGTH, dtype=torch.long)
    images = make_images(config, 1, "meta", torch.float32)
    stock_rows, rows = count_image_rows(base), count_image_rows(config)
    hint = len(token_ids_of_policy()["hint"])

    def assess(model: Any, features: Any) -> None:
        length = NUM_TEXT_TOKENS + rows
        embeds = torch.zeros(1, length, width, device="meta")
        placeholders = torch.zeros(1, length, dtype=torch.bool, device="meta")
        model.safety_modules(embeds, placeholders, features)

    @functools.cache
    def generate(length: int) -> tuple[int, int]:
        """The first token and the whole answer to a prompt of this length."""
        first, first_step = count_token(safe, length)
        # Attention grows by the same with each token, so the first and the last step give the sum of all.
        _, last_step = count_token(safe, length + new_tokens - 2)
        return first, first + (first_step + last_step) * (new_tokens - 1) // 2

    features = safe.model.get_image_features(**images, return_dict=True)
    vision = count(lambda: safe.model.get_image_features(**images, return_dict=True))
    assessed = count(lambda: assess(safe.model, features))
    guarded = count(lambda: assess(guard.model, guard.model.get_image_features(**images, return_dict=True)))
    projected = count(lambda: safe.model.safety_modules.projector(features.patch_features, features.patch_grid))
    classified = count(lambda: TwoPasses(safe, head).classify(text, features))

    stock_length, length = NUM_TEXT_TOKENS + stock_rows, NUM_TEXT_TOKENS + rows
    before_and_length = {
        "stock": (vision, stock_length),
        "off": (vision, length),
        "answering": (vision + assessed, length),
        "hinting": (vision + assessed, length + hint),
        "two_pass": (2 * (vision + classified), TEXT_LENGTH - 1 + rows),
        "two_pass_short": (2 * (vision + classified), length + hint),
        "guard_then_answer": (guarded + vision, stock_length),
        "least_answering": (vision + projected, length),
        "least_hinting": (vision + projected, length + hint),
    }
    counts = {
        name: dict(zip(("first_token", "answer"), (before + flops for flops in generate(prompt_length))))
        for name, (before, prompt_length) in before_and_length.items()
    }
    counts["refusing"] = dict.fromkeys(("first_token", "answer"), vision + assessed)
    return {name: counts[name] for name in (*WAYS, "least_answering", "least_hinting")}


def count_token(model: Any, length: int) -> list[int]:
    """
    FLOPs of the language model for the first token behind a prompt of this length, and for the next one: from a run
    with one layer and a run with two, for layers are all alike.
    """
    text_model = model.model.language_model
    num_layers = len(text_model.layers)
    embeds = torch.zeros(1, length, model.config.text_config.hidden_size, device="meta")

    def step(embeds: torch.Tensor, cache: DynamicCache) -> None:
        outputs = text_model(inputs_embeds=embeds, use_cache=True, **{CACHE_NAME: cache})
        model.lm_head(outputs.last_hidden_state[:, -1:])

    def count_with(layers: nn.ModuleList) -> list[int]:
        text_model.layers, cache = layers, DynamicCache()
        return [count(functools.partial(step, inputs, cache)) for inputs in (embeds, embeds[:, :1])]

    layers = text_model.layers
    counts = [count_with(layers[:1]), count_with(layers[:2])]
    text_model.layers = layers
    return [one + (num_layers - 1) * (two - one) for one, two in zip(*counts)]
