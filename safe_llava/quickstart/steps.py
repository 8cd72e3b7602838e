"""The whole method on the embedded miniature: convert, stage 1, stage 2, evaluate, reload, answer. Synthetic data."""

import json
import time
from pathlib import Path
from typing import Any

from datasets import Dataset
from rich.console import Console
from rich.progress import track
from rich.table import Table
from transformers import AutoModel, AutoModelForImageTextToText, AutoProcessor, PreTrainedModel

from ..conversion import convert_llava_checkpoint
from ..files import RECIPES, describe_machine, describe_versions, write_json
from ..inference import answer_dataset
from ..miniature import CHECKPOINT
from ..miniature.scene_dataset import build_dataset
from ..miniature.scoring import score_answers
from ..model_card import METRICS, STAGES, write_model_card
from ..run_recipe import run_recipe
from .showcase import draw_showcase


NUM_TEST_SCENES = 600
STAGE2_EPOCHS = 1
"""Half of the recipe's, for the sake of time."""
DATA = "synthetic scenes with abstract pictograms in place of risky content, drawn by safe_llava.miniature"
PACKAGES = ("transformers", "torch", "trl", "peft", "accelerate", "datasets")


def run_quickstart(output_dir: Path, seed: int = 0, console: Console | None = None) -> dict[str, Any]:
    """
    Safety-aligns the miniature and shows what that changes. All data are synthetic drawings.

    Finished steps are kept: run again after an interruption, it goes on with the step that was cut off.

    Args:
        output_dir (`Path`): gets `metrics.json`, `showcase.png`, `model` and the checkpoints on the way.
        seed (`int`, *optional*, defaults to 0): seed of training; the test scenes are the same for all seeds.
        console (`rich.console.Console`, *optional*): where to report. Defaults to standard output.

    Returns:
        What `metrics.json` holds: figures for `base`, `stage1` and `stage2`, with `seed`, `versions` and `seconds`.

    Raises:
        ValueError: if `output_dir` holds a run with another seed.
    """
    console = console or Console()
    started = time.monotonic()
    _claim(output_dir, seed)
    converted, stage1, model_dir = output_dir / "converted", output_dir / "stage1", output_dir / "model"

    if not converted.exists():
        console.print("[bold]1/5[/] Convert the miniature LLaVA: add untrained safety modules")
        convert_llava_checkpoint(CHECKPOINT, converted, num_safety_tokens=8, num_safety_visual_tokens=36, seed=seed)
    trainings: tuple[tuple[str, Path, Path, dict[str, Any]], ...] = (
        ("stage1", converted, stage1, {}),
        ("stage2", stage1, model_dir, {"num_train_epochs": STAGE2_EPOCHS}),
    )
    for step, (stage, source, target, fields) in enumerate(trainings, 2):
        if not target.exists():
            console.print(f"[bold]{step}/5[/] Train {stage} with recipes/miniature/{stage}.yaml")
            run_recipe(RECIPES / "miniature" / f"{stage}.yaml", source, target, seed, **fields)

    console.print(f"[bold]4/5[/] Evaluate on {NUM_TEST_SCENES} held-out synthetic scenes")
    scenes = build_dataset("test", NUM_TEST_SCENES, seed=0)
    answers = {}
    for name, folder in track(
        {"base": CHECKPOINT, "stage1": stage1, "stage2": model_dir}.items(), "Answering", console=console
    ):
        answers[name] = _answer(AutoModelForImageTextToText.from_pretrained(folder), folder, scenes)
    metrics: dict[str, Any] = {name: score_answers(scenes, rows) for name, rows in answers.items()}
    metrics["data"] = f"{DATA}; {NUM_TEST_SCENES} of them, held out"
    metrics["seed"] = seed
    metrics["versions"] = describe_versions(*PACKAGES)
    metrics["machine"] = describe_machine()

    console.print("[bold]5/5[/] Reload the checkpoint through AutoModel, draw the showcase and write the card")
    reloaded = AutoModel.from_pretrained(model_dir)
    again = _answer(reloaded, model_dir, scenes.select(range(32)))
    if [row["answer"] for row in again] != [row["answer"] for row in answers["stage2"][:32]]:
        raise RuntimeError(f"{model_dir} answers differently when it is loaded with AutoModel.")
    draw_showcase(scenes, answers["base"], answers["stage2"], output_dir / "showcase.png")
    metrics["seconds"] = round(time.monotonic() - started, 1)
    write_model_card(model_dir, metrics, source=stage1)
    write_json(output_dir / "metrics.json", metrics)
    console.print(results_table(metrics))
    return metrics


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


def _claim(output_dir: Path, seed: int) -> None:
    """Makes the folder, or makes sure that what it holds belongs to the same run."""
    record, run = output_dir / "run.json", {"seed": seed}
    if record.exists() and json.loads(record.read_text()) != run:
        raise ValueError(
            f"`output_dir` {output_dir} holds a run with {record.read_text().strip()}, not {json.dumps(run)}. "
            "Choose another folder or remove it."
        )
    output_dir.mkdir(parents=True, exist_ok=True)
    write_json(record, run)


def _answer(model: PreTrainedModel, folder: Path, scenes: Dataset) -> list[dict[str, Any]]:
    return answer_dataset(model.eval(), AutoProcessor.from_pretrained(folder), scenes)
