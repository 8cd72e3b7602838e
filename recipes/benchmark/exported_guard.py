"""
An exported guard on onnxruntime beside its model on torch: start, memory, and images a second as an audit assesses
them, from the file to the decision, on one core each.

    python -m recipes.benchmark.exported_guard --model quickstart/model --folder guard --output exported.json
    python -m recipes.benchmark.exported_guard --shape mid --output exported-mid.json   # random weights

Both assess the same images in turns (A B A B), so that a slow moment of the machine hits both.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from PIL import Image
from rich.console import Console
from rich.table import Table
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from safe_llava import SafeLlavaProcessor, SafetyPolicy
from safe_llava.export.run_export import run_export
from safe_llava.family import FAMILY
from safe_llava.files import describe_machine, describe_versions, write_json
from safe_llava.miniature.scene_dataset import build_dataset
from safe_llava.models.safety_trust import record_training

from .answering_ways import raise_alarm
from .request import load_processor
from .shapes import base_config, build, safe_config


WAYS = ("torch", "onnxruntime")
IMAGE_SIZE = (640, 480)


class Worker:
    """
    A process of `assessing_worker.py`.

    Args:
        model (`str`): what assesses.
        images (`Path`): a folder of them.
        batch_size (`int`): images at once.
    """

    def __init__(self, model: str, images: Path, batch_size: int):
        script = Path(__file__).with_name("assessing_worker.py")
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, str(script), model, str(images), str(batch_size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.ready = self._read()
        self.start_seconds = time.perf_counter() - started

    def assess(self) -> dict[str, Any]:
        """All images once."""
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        return self._read()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            return json.loads(line)
        raise RuntimeError(f"The worker ended with {self._process.wait()}.")


def main(
    output: Annotated[Path, typer.Option(help="JSON file to write.")],
    model: Annotated[str | None, typer.Option(help="A checkpoint, and --folder what was exported of it.")] = None,
    folder: Annotated[str | None, typer.Option(help="The exported folder.")] = None,
    shape: Annotated[str | None, typer.Option(help="In place of both: miniature or mid, of random weights.")] = None,
    images: Annotated[int, typer.Option(min=1)] = 128,
    batch_size: Annotated[int, typer.Option(min=1)] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each.")] = 5,
) -> None:
    """Measure both in turns."""
    if (shape is None) == (model is None) or (model is None) != (folder is None):
        raise typer.BadParameter("Give --model and --folder, or --shape.")
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        if shape is not None:
            model, folder = make_guards(shape, place)
        draw_images(place / "images", images)
        found = measure(dict(zip(WAYS, map(str, (model, folder)))), place / "images", batch_size, rounds)
    setting = {"shape": shape, "model": None if shape else model, "images": images, "batch_size": batch_size}
    packages = ("torch", "onnxruntime", "transformers")
    results = {**setting, "machine": describe_machine(), "versions": describe_versions(*packages), **found}
    write_json(output, results)
    Console().print(in_words(results))


def measure(models: dict[str, str], images: Path, batch_size: int, rounds: int) -> dict[str, Any]:
    """Of each way how long it takes to its first verdict, and what each of its turns but the first gave."""
    workers = {way: Worker(model, images, batch_size) for way, model in models.items()}
    turns: dict[str, list[dict[str, Any]]] = {way: [] for way in workers}
    for worker in workers.values():
        worker.assess()
    for _ in range(rounds):
        for way, worker in workers.items():
            turns[way].append(worker.assess())
    for worker in workers.values():
        worker.close()
    return {
        way: {
            "imports_torch": worker.ready["imports_torch"],
            "start_seconds": worker.start_seconds,
            "memory": max(turn["memory"] for turn in turns[way]),
            "images_per_second": [turn["images"] / turn["seconds"] for turn in turns[way]],
            "passes_per_second": [turn["images"] / turn["assessing"] for turn in turns[way]],
        }
        for way, worker in workers.items()
    }


def make_guards(shape: str, place: Path) -> tuple[str, str]:
    """A guard of random weights, with the miniature's tokenizer, and what `safe-llava export` makes of it."""
    stock, config = load_processor(), safe_config(base_config(shape))
    vision, config.image_token_id = config.vision_config, stock.image_token_id
    processor = SafeLlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": vision.image_size},
            crop_size={"height": vision.image_size, "width": vision.image_size},
        ),
        tokenizer=stock.tokenizer,
        patch_size=vision.patch_size,
        vision_feature_select_strategy="default",
        chat_template=stock.chat_template,
        num_additional_image_tokens=1 + config.num_safety_tokens,
    )
    guard: Any = build(FAMILY[config.model_type].guard, config, "cpu", torch.float32)
    # What random weights decide by a hair, rounding would decide otherwise.
    raise_alarm(guard.model.safety_modules.head)
    with torch.no_grad():
        guard.model.safety_modules.head.type_classifier.bias[0] = 100.0
    guard.set_safety_policy(SafetyPolicy(), processor)
    record_training(guard)
    guard.save_pretrained(place / "model")
    processor.save_pretrained(place / "model")
    run_export(str(place / "model"), place / "guard.onnx", scenes=16)
    return str(place / "model"), str(place / "guard")


def draw_images(folder: Path, number: int) -> None:
    """JPEGs of scenes, at a usual size."""
    folder.mkdir()
    scenes = [row["images"][0] for row in build_dataset("test", 2 * number + 8, stage="evaluation") if row["images"]]
    for index in range(number):
        scene = scenes[index % len(scenes)].convert("RGB").resize(IMAGE_SIZE, Image.Resampling.BICUBIC)
        scene.save(folder / f"{index:05}.jpg", quality=90)


def in_words(results: dict[str, Any]) -> Table:
    table = Table(title=f"{results['shape'] or results['model']}, {results['machine']}")
    for header in ("", *WAYS, "ratio"):
        table.add_column(header, justify="right")
    torch_, onnx = (results[way] for way in WAYS)
    for name, unit in (("start_seconds", 1.0), ("memory", 1e6)):
        values = [found[name] / unit for found in (torch_, onnx)]
        table.add_row(name, *(f"{value:.1f}" for value in values), f"{values[1] / values[0]:.2f}")
    for name in ("images_per_second", "passes_per_second"):
        medians = (f"{statistics.median(found[name]):.1f}" for found in (torch_, onnx))
        ratios = sorted(own / other for own, other in zip(onnx[name], torch_[name]))
        table.add_row(name, *medians, f"{statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    return table


if __name__ == "__main__":
    typer.run(main)
