"""The whole method on a small world: convert, stage 1, stage 2, evaluate, reload, answer."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from datasets import Dataset
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from transformers import AutoModel, AutoModelForImageTextToText, AutoProcessor, PreTrainedModel

from ..checkpoints import default_device
from ..conversion import convert_llava_checkpoint
from ..files import describe_machine, describe_versions, read_json, write_json
from ..inference import answer_dataset
from ..miniature.miniature_world import MINIATURE_WORLD
from ..model_card import METRICS, STAGES, write_model_card
from ..run_recipe import num_cores, run_recipe
from ..world import World
from .screen import step_bar, step_bars, warnings_to
from .showcase import draw_showcase


NUM_TEST_SCENES = 600
PACKAGES = ("transformers", "torch", "trl", "peft", "accelerate", "datasets")
LOG = "log.txt"
"""What libraries and trainings print."""


@dataclass
class Finished:
    """
    What a run has left.

    Args:
        metrics (`dict`): figures for `base`, `stage1` and `stage2`, with `seed`, `versions` and `seconds`.
        question (`str`): what makes `image.png` risky when it is asked.
    """

    metrics: dict[str, Any]
    question: str


def run_quickstart(
    output_dir: Path, seed: int = 0, console: Console | None = None, world: World = MINIATURE_WORLD
) -> Finished:
    """
    Safety-aligns the base of a world and shows what that changes. All scenes are synthetic.

    Finished steps are kept: run again after an interruption, it goes on with the step that was cut off.

    Args:
        output_dir (`Path`): gets `metrics.json`, `showcase.png`, `image.png` (of the miniature a harmless face, but
            asking who it is would be risky), `other.png` (a harmless scene), `log.txt`, `model` and the checkpoints
            on the way.
        seed (`int`, *optional*, defaults to 0): seed of training; the test scenes are the same for all seeds.
        console (`rich.console.Console`, *optional*): where to report. Defaults to standard output.
        world ([`~safe_llava.world.World`], *optional*): base and scenes. Defaults to the miniature.

    Returns:
        [`Finished`], whose metrics are what `metrics.json` holds.

    Raises:
        ValueError: if `output_dir` holds a run of another world or with another seed.
        ChildProcessError: if training fails.
    """
    console = console or Console()
    started = time.monotonic()
    _claim(output_dir, seed, world)
    with warnings_to(output_dir / LOG), step_bars(console) as progress:
        _train(world, output_dir, seed, progress)
        scenes = world.build_dataset("test", NUM_TEST_SCENES, seed=0)
        folders = {"base": world.base, "stage1": output_dir / "stage1", "stage2": output_dir / "model"}
        answers = {}
        with step_bar(progress, f"4/5 Ask all three {NUM_TEST_SCENES} questions") as report:
            for place, (name, folder) in enumerate(folders.items(), 1):
                answers[name] = _answer(world, AutoModelForImageTextToText, folder, scenes)
                report(place / len(folders))
        metrics: dict[str, Any] = {name: world.score_answers(scenes, rows) for name, rows in answers.items()}
        metrics["data"] = f"{world.data}; {NUM_TEST_SCENES} of them, held out"
        metrics["seed"] = seed
        metrics["versions"] = describe_versions(*PACKAGES)
        metrics["machine"] = describe_machine()

        with step_bar(progress, "5/5 Reload, draw, write the card"):
            again = _answer(world, AutoModel, folders["stage2"], scenes.select(range(32)))
            if [row["answer"] for row in again] != [row["answer"] for row in answers["stage2"][:32]]:
                raise RuntimeError(f"{folders['stage2']} answers differently when it is loaded with AutoModel.")
            draw_showcase(world, scenes, answers["base"], answers["stage2"], output_dir / "showcase.png")
            question = _save_examples(world, scenes, output_dir)
            metrics["seconds"] = round(time.monotonic() - started, 1)
            write_model_card(folders["stage2"], metrics, source=folders["stage1"], measured_on=world.dataset)
            write_json(output_dir / "metrics.json", metrics)
    console.print(results_table(metrics))
    return Finished(metrics, question)


def _train(world: World, output_dir: Path, seed: int, progress: Progress) -> None:
    """Convert the base and train both stages, as far as that is not done."""
    converted, stage1, model = output_dir / "converted", output_dir / "stage1", output_dir / "model"
    with step_bar(progress, "1/5 Convert the base LLaVA"):
        if not converted.exists():
            convert_llava_checkpoint(world.base, converted, seed=seed, **world.conversion)
    with step_bar(progress, "2/5 Train stage 1: safety modules") as report:
        _train_stage(world, "stage1", converted, stage1, seed, report)
    with step_bar(progress, "3/5 Train stage 2: LoRA") as report:
        _train_stage(world, "stage2", stage1, model, seed, report)


def _train_stage(
    world: World, stage: str, source: Path, target: Path, seed: int, report: Callable[[float], None]
) -> None:
    if not target.exists():
        recipe = world.recipe(stage)
        fields = world.name_rows(recipe, {"num_train_epochs": world.epochs[stage]}, target.parent / "rows")
        run_recipe(
            recipe,
            source,
            target,
            seed,
            log=target.parent / LOG,
            on_epoch=lambda done: report(done / world.epochs[stage]),
            disable_tqdm=True,
            **fields,
            **_spread(yaml.safe_load(recipe.read_text(encoding="utf-8"))["total_batch_size"]),
        )


def _spread(batch_size: int) -> dict[str, Any]:
    """How to share a batch of 16 or 32: between all accelerators, or else between the cores, by one, two or four."""
    if torch.accelerator.is_available():
        available, backend = torch.accelerator.device_count(), {}
    else:
        # Without `use_cpu` each process would train alone, on its own part of the batch.
        available, backend = num_cores(), {"ddp_backend": "gloo", "use_cpu": True}
    processes = max(number for number in (1, 2, 4) if number <= max(1, available))
    fields = {"num_processes": processes, "per_device_train_batch_size": batch_size // processes}
    return fields | (backend if processes > 1 else {})


def _save_examples(world: World, scenes: Dataset, output_dir: Path) -> str:
    """Keep two images to ask about: one that is risky together with the question returned, and a harmless one."""
    questions = []
    for name, kind, topic in (("image.png", "pair_risky", world.example_topic), ("other.png", "harmless", None)):
        row = next(
            row
            for row, (its_kind, its_topic) in enumerate(zip(scenes["kind"], scenes["topic"]))
            if its_kind == kind and topic in (its_topic, None)
        )
        scenes[row]["images"][0].save(output_dir / name)
        questions.append(scenes[row]["messages"][-2]["content"])
    return questions[0]


def results_table(metrics: dict[str, Any]) -> Table:
    """The figures of base, stage 1 and stage 2 side by side, with 95 % intervals."""
    table = Table(title=f"{NUM_TEST_SCENES} held-out scenes, all synthetic; 95 % intervals in brackets")
    table.add_column("")
    for header in STAGES.values():
        table.add_column(header, justify="right")
    for name, label in METRICS.items():
        cells = []
        for stage in STAGES:
            value, interval = metrics[stage][name], metrics[stage]["intervals"].get(name)
            cells.append("-" if value is None else f"{value:.1%} [{interval[0]:.1%}, {interval[1]:.1%}]")
        table.add_row(label, *(cell.replace("[", "\\[") for cell in cells))
    return table


def _claim(output_dir: Path, seed: int, world: World) -> None:
    """Make the folder, or make sure that what it holds belongs to the same run."""
    record = output_dir / "run.json"
    run: dict[str, Any] = {"seed": seed}
    if world is not MINIATURE_WORLD:
        run |= {"world": world.name, "base": str(world.base.resolve())}
    if (found := read_json(record)) not in (None, run):
        raise ValueError(f"{output_dir} holds another run ({found}, not {run}). Choose another folder or remove it.")
    write_json(record, run)


def _answer(world: World, auto_class: Any, folder: Path, scenes: Dataset) -> list[dict[str, Any]]:
    model: PreTrainedModel = auto_class.from_pretrained(folder).to(default_device()).eval()
    return answer_dataset(model, AutoProcessor.from_pretrained(folder), scenes, world.answer_batch_size)
