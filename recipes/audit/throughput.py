"""
What an audit by two processes saves beside a plain pipeline, and what its start and its report cost.

    python -m recipes.audit.throughput --model quickstart/model --output-dir throughput
    python -m recipes.audit.throughput --model quickstart/model --folder guard --output-dir throughput

The same JPEGs of 640 x 480 pixels are assessed in turns: by `pipeline("safety-classification")` in batches of 32 with
every core, by the audit of the checkpoint, and with `--folder` by that of the guard which `safe-llava export` wrote.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from PIL import Image

from safe_llava.files import describe_versions, read_json, write_json
from safe_llava.miniature.scene_dataset import build_dataset

from ..benchmark.machine import describe_this_machine


NUM_SCENES = 500
SIZE = (640, 480)
PROCESSES = 2
_PIPELINE = """
import sys, time
from pathlib import Path
from transformers import pipeline
import safe_llava

pipe = pipeline("safety-classification", model=sys.argv[1])
paths = [str(path) for path in sorted(Path(sys.argv[2]).iterdir())]
pipe(paths[:32], batch_size=32)
start = time.perf_counter()
pipe(paths, batch_size=32)
print(len(paths) / (time.perf_counter() - start))
"""


def main(
    model: Annotated[str, typer.Option(help="SafeLLaVA checkpoint.")],
    output_dir: Annotated[Path, typer.Option(help="Gets images and throughput.json.")],
    folder: Annotated[Path | None, typer.Option(exists=True, help="An exported guard of the model.")] = None,
    images: Annotated[int, typer.Option(min=64, help="Images to assess.")] = 2000,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of every way.")] = 3,
) -> None:
    """Measure in turns; each figure is a median, beside its least and largest."""
    source = output_dir / "images"
    draw_images(source, images)
    ways = {"pipeline": None, "audit": model}
    if folder is not None:
        ways["audit of the exported guard"] = str(folder)
    rounds_of: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, audited in ways.items():
            rounds_of[way].append(run_pipeline(model, source) if audited is None else run_audit(audited, source))
    figures = {way: _summarize(runs, rounds_of["pipeline"]) for way, runs in rounds_of.items()}
    where = {"machine": describe_this_machine(), "versions": describe_versions("torch", "transformers")}
    write_json(output_dir / "throughput.json", {"images": images, "processes": PROCESSES, **where, "ways": figures})
    for way, found in figures.items():
        said = ", ".join(f"{name} {middle:.2f} ({low:.2f}-{high:.2f})" for name, (low, middle, high) in found.items())
        typer.echo(f"{way}: {said}")


def draw_images(folder: Path, number: int) -> None:
    """The miniature's scenes, enlarged."""
    if folder.exists() and len(list(folder.iterdir())) == number:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows = build_dataset("test", NUM_SCENES, seed=0)
    scenes = [row["images"][0].convert("RGB") for row in rows if row["images"]]
    for place in range(number):
        image = scenes[place % len(scenes)].resize(SIZE, Image.Resampling.BICUBIC)
        image.save(folder / f"{place:06}.jpg", quality=90)


def run_pipeline(model: str, source: Path) -> dict[str, float]:
    """Images a second once everything is loaded."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-c", _PIPELINE, model, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return {"images_per_second": float(done.stdout.split()[-1])}


def run_audit(model: str, source: Path) -> dict[str, float]:
    """Images a second while any process assesses, and the seconds of the run in which none does: start and report."""
    output_dir = source.with_name("audit")
    shutil.rmtree(output_dir, ignore_errors=True)
    # Not `python -m safe_llava`, which imports torch for every guard.
    script = Path(sys.executable).with_name("safe-llava")
    command: list[str | Path] = [script, "audit", source, "--model", model, "--output-dir", output_dir]
    command += ["--shard-size", "250"]
    world = {"WORLD_SIZE": str(PROCESSES), "LOCAL_WORLD_SIZE": str(PROCESSES)}
    start = time.perf_counter()
    running = [
        subprocess.Popen(command, env={**os.environ, **world, "RANK": str(rank)}, stdout=subprocess.DEVNULL)
        for rank in range(PROCESSES)
    ]
    if any(process.wait() for process in running):
        raise typer.Exit(1)
    seconds = time.perf_counter() - start
    cost: dict[str, Any] = read_json(output_dir / "summary.json")["cost"]
    return {
        "images_per_second": cost["images_per_second"],
        "start_and_report_seconds": seconds - cost["seconds"],
    }


def _summarize(runs: list[dict[str, float]], beside: list[dict[str, float]]) -> dict[str, tuple[float, float, float]]:
    """Least, median and largest of each figure, and of how many times as fast as the pipeline of the same turn."""
    figures = {name: [run[name] for run in runs] for name in runs[0]}
    rate = "images_per_second"
    figures["times_the_pipeline"] = [run[rate] / other[rate] for run, other in zip(runs, beside, strict=True)]
    return {name: (min(values), statistics.median(values), max(values)) for name, values in figures.items()}


if __name__ == "__main__":
    typer.run(main)
