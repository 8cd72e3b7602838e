"""
The suite behind `run.py`. Counts need no clock and no weights. Times are measured side by side with stock, token by
token in turns; without a GPU `llava-1.5-7b` is counted alone.
"""

import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from cost_tables import bound_table, count_table, time_table
from counts import DESIGN_OVER_STOCK, NUM_NEW_TOKENS, count_parameters, count_ways
from memory import peak_memory
from prompts import NUM_TEXT_TOKENS
from ratios import compare, over_stock
from rich.console import Console
from shapes import SHAPES, base_config
from timing import time_beside_stock
from ways import WAYS, build_models, make_way, token_ids_of_policy

from safe_llava.version import __version__


BATCH_SIZES = {
    "cpu": {"miniature": [1, 8, 32], "mid": [1]},
    "cuda": {"miniature": [1, 8, 32], "mid": [1, 8, 32], "llava-1.5-7b": [1, 8, 32]},
}
"""By default. Larger batches of the mid shape take minutes a round on two cores."""


def main(
    output_dir: Annotated[Path, typer.Option(help="Gets results.json.")],
    shape: Annotated[str, typer.Option(help=", ".join(SHAPES))] = "mid",
    batch_size: Annotated[list[int] | None, typer.Option(min=1, help="May be given several times.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Answers of each way.")] = 5,
    new_tokens: Annotated[int, typer.Option(min=2, help="Tokens of an answer that is timed.")] = 64,
    memory: Annotated[bool, typer.Option(help="Measure peak memory, a process for each way.")] = True,
    count_only: Annotated[bool, typer.Option("--count-only", help="Count FLOPs; measure nothing.")] = False,
) -> None:
    """Count and measure one shape."""
    if shape not in SHAPES:
        raise typer.BadParameter(f"No shape {shape!r}; there are {', '.join(SHAPES)}.")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    console = Console()
    results = describe(shape, device, dtype) | {
        "parameters": count_parameters(shape),
        "answer_tokens_counted": NUM_NEW_TOKENS,
        "flops": count_ways(shape),
        "design_over_stock": DESIGN_OVER_STOCK if shape == "llava-1.5-7b" else {},
    }
    console.print(count_table(results))
    batch_sizes = [] if count_only else batch_size or BATCH_SIZES[device].get(shape)
    if batch_sizes is None:
        batch_sizes = []
        console.print(
            f"{shape} is counted and not timed on this machine. Name a --batch-size to time it all the same."
        )
    if batch_sizes:
        results |= {"rounds": rounds, "new_tokens": new_tokens, "timings": {}}
        models = build_models(base_config(shape), list(WAYS), device, dtype)
        for size in batch_sizes:
            asks = {way: make_way(way, base_config(shape), models, size) for way in WAYS}
            measured = time_beside_stock(asks, size, new_tokens, rounds, device)
            ratios = {"over_stock": over_stock(measured), "ratios": compare(measured)}
            results["timings"][str(size)] = {"measured": measured, **ratios}
        del models
        for way in WAYS if memory else ():
            peaks = peak_memory(shape, way, batch_sizes, device, dtype)
            for size, peak in zip(sorted(batch_sizes), peaks):
                results["timings"][str(size)].setdefault("peak_bytes", {})[way] = peak
    output_dir.mkdir(parents=True, exist_ok=True)
    partial = output_dir / "results.json.partial"
    partial.write_text(json.dumps(results, indent=1) + "\n")
    partial.rename(output_dir / "results.json")
    for size in batch_sizes:
        console.print(time_table(results, str(size)))
        console.print(bound_table(results, str(size)))


def describe(shape: str, device: str, dtype: torch.dtype) -> dict[str, Any]:
    """What was asked, of what, on which machine."""
    return {
        "shape": shape,
        "weights": "random",
        "seed": 0,
        "text_tokens": NUM_TEXT_TOKENS,
        "hint_tokens": len(token_ids_of_policy()["hint"]),
        "dtype": str(dtype).removeprefix("torch."),
        "machine": torch.cuda.get_device_name()
        if device == "cuda"
        else f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "threads": torch.get_num_threads(),
        "versions": {
            "safe-llava": __version__,
            **{name: importlib.metadata.version(name) for name in ("torch", "transformers")},
        },
    }
