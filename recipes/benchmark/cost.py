"""
What safety costs: SafeLLaVA against stock LLaVA on the same backbone, and against the other ways to be safe.

    python -m recipes.benchmark.cost --shape mid --output-dir cost

Counts need no clock and no weights. Times are measured side by side with stock, token by token in turns; without a GPU
`llava-1.5-7b` is counted alone.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from safe_llava.files import write_json

from .answer_timing import time_beside_stock
from .answering_ways import WAYS, build_models, make_way, token_ids_of_policy
from .cost_ratios import compare, over_stock
from .cost_tables import bound_table, count_table, time_table
from .flop_counts import DESIGN_OVER_STOCK, NUM_NEW_TOKENS, count_parameters, count_ways
from .machine import describe_setting, device_and_dtype
from .peak_memory import peak_memory
from .request import NUM_TEXT_TOKENS
from .shapes import SHAPES, TILED_SHAPES, base_config


BATCH_SIZES = {
    "cpu": {"miniature": [1, 8, 32], "mid": [1], "mid-next": [1]},
    "cuda": {"miniature": [1, 8, 32], "mid": [1, 8, 32], "llava-1.5-7b": [1, 8, 32]},
}
"""By default. Larger batches of the mid shape take minutes a round on two cores."""
ALL_SHAPES = (*SHAPES, *TILED_SHAPES)


def main(
    output_dir: Annotated[Path, typer.Option(help="Gets results.json.")],
    shape: Annotated[str, typer.Option(help=", ".join(ALL_SHAPES))] = "mid",
    batch_size: Annotated[list[int] | None, typer.Option(min=1, help="May be given several times.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Answers of each way.")] = 5,
    new_tokens: Annotated[int, typer.Option(min=2, help="Tokens of an answer that is timed.")] = 64,
    memory: Annotated[bool, typer.Option(help="Measure peak memory, a process for each way.")] = True,
    count_only: Annotated[bool, typer.Option("--count-only", help="Count FLOPs; measure nothing.")] = False,
) -> None:
    """Count and measure one shape."""
    if shape not in ALL_SHAPES:
        raise typer.BadParameter(f"No shape {shape!r}; there are {', '.join(ALL_SHAPES)}.")
    device, dtype = device_and_dtype()
    console = Console()
    results = {
        "shape": shape,
        "weights": "random",
        "seed": 0,
        "text_tokens": NUM_TEXT_TOKENS,
        "hint_tokens": len(token_ids_of_policy()["hint"]),
        **describe_setting(),
        "parameters": count_parameters(shape),
        "answer_tokens_counted": NUM_NEW_TOKENS,
        "flops": count_ways(shape),
        "design_over_stock": DESIGN_OVER_STOCK if shape == "llava-1.5-7b" else {},
    }
    console.print(count_table(results))
    # Here and below at once, so that what is known stays when the rest takes too long.
    write_json(output_dir / "results.json", results)
    batch_sizes = [] if count_only else batch_size or BATCH_SIZES[device].get(shape)
    if batch_sizes is None:
        batch_sizes = []
        console.print(
            f"{shape} is counted and not timed on this machine. Name a --batch-size to time it all the same."
        )
    if batch_sizes:
        results |= {"rounds": rounds, "new_tokens": new_tokens, "timings": {}}
        # First, while the memory is free.
        console.print(f"Peak memory of {len(WAYS)} ways" if memory else "Memory is not measured")
        peaks = peak_memory(shape, list(WAYS) if memory else [], batch_sizes, device, dtype)
        models = build_models(base_config(shape), list(WAYS), device, dtype)
        for size in batch_sizes:
            console.print(f"Timing {len(WAYS) - 1} ways beside stock, batch {size}")
            asks = {way: make_way(way, base_config(shape), models, size) for way in WAYS}
            measured = time_beside_stock(asks, size, new_tokens, rounds, device)
            results["timings"][str(size)] = {
                "measured": measured,
                "over_stock": over_stock(measured),
                "ratios": compare(measured),
                "peak_bytes": {way: of_way[sorted(batch_sizes).index(size)] for way, of_way in peaks.items()},
            }
            write_json(output_dir / "results.json", results)
            console.print(time_table(results, str(size)))
            console.print(bound_table(results, str(size)))


if __name__ == "__main__":
    typer.run(main)
