"""
The guard against a generative guard made of the same base: asked whether an image is safe, it gives one token.

    python -m recipes.benchmark.guard --shape mid --output guard-mid.json

FLOPs are counted. Images per second are measured in turns (A B A B), after decoding and preprocessing, which are the
same for both; `--count-only` leaves that out, as `--shape llava-1.5-7b` needs a GPU.
"""

import copy
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table
from transformers import LlavaConfig, LlavaForConditionalGeneration

from safe_llava import SafeLlavaForSafetyClassification
from safe_llava.files import write_json

from .flop_counts import make_flop_counter
from .machine import describe_setting, device_and_dtype, wait_for_device
from .shapes import base_config, build, safe_config


NUM_TEXT_TOKENS = 40
"""A chat's frame and a short question. Guards that put their rules into the prompt read several hundred more."""


def main(
    output: Annotated[Path, typer.Option(help="JSON file to write.")],
    shape: Annotated[str, typer.Option(help="miniature, mid or llava-1.5-7b.")] = "mid",
    batch_size: Annotated[int, typer.Option(min=1)] = 8,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each.")] = 7,
    count_only: Annotated[bool, typer.Option("--count-only", help="Count FLOPs; measure no time.")] = False,
) -> None:
    """Count and measure both guards at one shape."""
    results: dict[str, Any] = {
        "shape": shape,
        "weights": "random",
        "text_tokens": NUM_TEXT_TOKENS,
        "flops_per_image": {name: count_flops(name, shape) for name in ("guard", "generative")},
        **describe_setting(),
    }
    if not count_only:
        results |= {"batch_size": batch_size, "rounds": rounds}
        results["images_per_second"] = measure(shape, batch_size, rounds)
    write_json(output, results)
    Console().print(in_words(results))


def make_step(name: str, base: LlavaConfig, batch_size: int, device: str, dtype: torch.dtype) -> Callable[[], Any]:
    """A function that assesses one batch."""
    model_class = SafeLlavaForSafetyClassification if name == "guard" else LlavaForConditionalGeneration
    config = safe_config(base) if name == "guard" else base
    model = build(model_class, config, device, dtype)
    vision = config.vision_config
    input_ids = torch.full((batch_size, config.image_seq_length + NUM_TEXT_TOKENS), 5, device=device)
    input_ids[:, 5 : 5 + config.image_seq_length] = config.image_token_id
    inputs = {
        "input_ids": input_ids,
        "attention_mask": torch.ones_like(input_ids),
        "pixel_values": torch.zeros(batch_size, 3, vision.image_size, vision.image_size, device=device, dtype=dtype),
    }
    options = {} if name == "guard" else {"logits_to_keep": 1, "use_cache": False}

    @torch.no_grad()
    def step() -> None:
        model(**inputs, **options)
        wait_for_device()

    return step


def count_flops(name: str, shape: str) -> int:
    """
    FLOPs of one image at a shape, counted with two and with three layers of each part: layers are all alike, so the
    whole need not fit into memory.
    """
    full = base_config(shape)
    counts = {}
    for layers in ((2, 2), (3, 2), (2, 3)):
        config = copy.deepcopy(full)
        config.vision_config.num_hidden_layers, config.text_config.num_hidden_layers = layers
        step = make_step(name, config, 1, *device_and_dtype())
        with make_flop_counter() as counter:
            step()
        counts[layers] = counter.get_total_flops()
    vision_layer, text_layer = counts[3, 2] - counts[2, 2], counts[2, 3] - counts[2, 2]
    more_vision, more_text = full.vision_config.num_hidden_layers - 2, full.text_config.num_hidden_layers - 2
    return counts[2, 2] + more_vision * vision_layer + more_text * text_layer


def measure(shape: str, batch_size: int, rounds: int) -> dict[str, list[float]]:
    """Images per second of each round."""
    base, setting = base_config(shape), device_and_dtype()
    steps = {name: make_step(name, base, batch_size, *setting) for name in ("guard", "generative")}
    speeds: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        step()
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            speeds[name].append(batch_size / (time.perf_counter() - start))
    return speeds


def in_words(results: dict[str, Any]) -> Table:
    table = Table(title=f"{results['shape']}, random weights, {results['machine']}")
    for header in ("", "guard", "generative", "ratio"):
        table.add_column(header, justify="right")
    flops = results["flops_per_image"]
    gflops = (f"{flops[name] / 1e9:.2f}" for name in ("guard", "generative"))
    table.add_row("GFLOP an image", *gflops, f"{flops['generative'] / flops['guard']:.1f}")
    if speeds := results.get("images_per_second"):
        medians = {name: statistics.median(values) for name, values in speeds.items()}
        ratios = sorted(ours / theirs for ours, theirs in zip(speeds["guard"], speeds["generative"]))
        ratio = f"{statistics.median(ratios):.1f} ({ratios[0]:.1f} to {ratios[-1]:.1f})"
        table.add_row("images/s", *(f"{medians[name]:.1f}" for name in ("guard", "generative")), ratio)
    return table


if __name__ == "__main__":
    typer.run(main)
