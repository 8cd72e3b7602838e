"""Both ways of a stage in turns, each in a process of its own: seconds a step, peak memory, results.json, a table."""

import contextlib
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Iterator
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from memory import peak_bytes
from rich.console import Console
from rich.table import Table
from shapes import SHAPES
from training_ways import WAYS, train


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
    results = {**setting, "rounds": rounds, "weights": "random", **machine(), "ways": measure(setting, rounds)}
    output_dir.mkdir(parents=True, exist_ok=True)
    (output_dir / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    Console().print(in_words(results))


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    on_gpu = torch.cuda.is_available()
    return {
        "machine": torch.cuda.get_device_name() if on_gpu else f"{platform.machine()}, {os.cpu_count()} cores",
        "threads": torch.get_num_threads(),
        "dtype": "bfloat16" if on_gpu else "float32",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "trl", "peft")},
        },
    }


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
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        if is_first:
            is_first.clear()
            connection.send("ready")
        connection.recv()
        start, start_of_work = time.perf_counter(), time.process_time()
        yield
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        connection.send((time.perf_counter() - start, time.process_time() - start_of_work))

    is_first = [True]
    train(way, num_steps=num_steps, is_timed=turn, **setting)
    connection.send(peak_bytes("cuda" if torch.cuda.is_available() else "cpu"))


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
