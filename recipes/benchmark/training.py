"""
Samples per second and peak memory of training: stage 1 against a naive loop, stage 2 against trl on the stock LLaVA.

    python -m recipes.benchmark.training --shape mid --stage 1 --output-dir training-1

Each way runs in a process of its own. They take turns step by step (A B A B), so that whatever else the machine does
hits both; the first turn warms up. Random weights and one synthetic batch, so that no time goes to data.
"""

import contextlib
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from safe_llava.files import write_json

from .machine import describe_setting, device_and_dtype, wait_for_device
from .peak_memory import peak_bytes
from .shapes import SHAPES
from .training_ways import WAYS, train


def main(
    output_dir: Annotated[Path, typer.Option(help="Folder for results.json.")],
    shape: Annotated[str, typer.Option(help=f"{', '.join(SHAPES[:-1])} or {SHAPES[-1]}.")] = "mid",
    stage: Annotated[int, typer.Option(min=1, max=2)] = 1,
    batch_size: Annotated[int, typer.Option(min=1)] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each way.")] = 5,
    num_spared: Annotated[
        int | None,
        typer.Option(min=0, help="Ours and plain checkpoint all but so many layers. Default: they checkpoint none."),
    ] = None,
) -> None:
    """Measure both ways of one stage at one shape."""
    setting = {"shape": shape, "stage": stage, "batch_size": batch_size, "num_spared": num_spared}
    results = {
        **setting,
        "rounds": rounds,
        "weights": "random",
        **describe_setting("trl", "peft"),
        "ways": measure(setting, rounds),
    }
    write_json(output_dir / "results.json", results)
    Console().print(in_words(results))


def measure(setting: dict[str, Any], rounds: int) -> dict[str, dict[str, Any]]:
    """Seconds and processor seconds of each turn, and the peak memory in bytes, of each way."""
    context = multiprocessing.get_context("spawn")
    ways: dict[str, dict[str, Any]] = {}
    with contextlib.ExitStack() as stack:
        connections = {}
        for way in WAYS[setting["stage"]]:
            connections[way], theirs = context.Pipe()
            process = context.Process(target=work, args=(theirs, way, rounds + 1, setting), daemon=True)
            process.start()
            theirs.close()
            stack.callback(process.join)
            connections[way].recv()  # ready for its first step
            ways[way] = {"seconds": [], "processor_seconds": []}
        for turn in range(rounds + 1):
            for way, connection in connections.items():
                connection.send("go")
                seconds, processor_seconds = connection.recv()
                if turn > 0:
                    ways[way]["seconds"].append(seconds)
                    ways[way]["processor_seconds"].append(processor_seconds)
        for way, connection in connections.items():
            ways[way]["peak_bytes"] = connection.recv()
    return ways


def work(connection: Connection, way: str, num_steps: int, setting: dict[str, Any]) -> None:
    """Train in one way; each step waits for its turn."""

    @contextlib.contextmanager
    def turn() -> Iterator[None]:
        wait_for_device()
        if is_first:
            is_first.clear()
            connection.send("ready")
        connection.recv()
        start, start_of_work = time.perf_counter(), time.process_time()
        yield
        wait_for_device()
        connection.send((time.perf_counter() - start, time.process_time() - start_of_work))

    is_first = [True]
    train(way, num_steps=num_steps, is_timed=turn, **setting)
    connection.send(peak_bytes(device_and_dtype()[0]))


def in_words(results: dict[str, Any]) -> Table:
    spared = results["num_spared"]
    kept = "none" if spared is None else f"all but {spared} layers"
    table = Table(
        title=f"Stage {results['stage']}, {results['shape']}, random weights, batch {results['batch_size']}, "
        f"{results['dtype']}, {results['machine']}, checkpointing: {kept}"
    )
    (ours, our_figures), (theirs, their_figures) = results["ways"].items()
    for header in ("", ours, theirs, "ratio"):
        table.add_column(header, justify="right")
    # On a machine that others use too, the processor's seconds say more than the clock's.
    for name, label in (("seconds", "samples/s"), ("processor_seconds", "samples/processor s")):
        pairs = zip(our_figures[name], their_figures[name])
        ratios = sorted(their_seconds / our_seconds for our_seconds, their_seconds in pairs)
        speeds = [results["batch_size"] / statistics.median(figures[name]) for figures in (our_figures, their_figures)]
        spread = f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
        table.add_row(label, *(f"{speed:.3g}" for speed in speeds), spread)
    peaks = [figures["peak_bytes"] for figures in (our_figures, their_figures)]
    table.add_row("peak memory, GiB", *(f"{peak / 2**30:.2f}" for peak in peaks), f"{peaks[0] / peaks[1]:.2f}")
    return table


if __name__ == "__main__":
    typer.run(main)
