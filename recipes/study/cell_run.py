"""Runs one cell of the grid with one seed: the model, its answers, its figures."""

import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForImageTextToText, AutoProcessor

from safe_llava.checkpoints import default_device
from safe_llava.inference import answer_dataset
from safe_llava.models.safety_trust import record_training

from ..benchmark.machine import describe_setting
from . import baselines, rivals
from .answer_cost import counted
from .calibrated import calibrate_model
from .calibration_scoring import score_calibration
from .cell_models import build_model
from .cells import Cell, fingerprint
from .defended import Defended
from .runs_file import Run, keep_run, models_dir, read_runs
from .study_world import StudyWorld


PACKAGES = ("accelerate", "datasets", "peft", "trl")
"""Whose versions a run names beside torch's and transformers'."""


@cache
def benchmark_rows(build_benchmark: Callable[[float], Dataset], share: float) -> Dataset:
    """A share of the benchmark, drawn once in each process."""
    return build_benchmark(share)


def run_key(study: StudyWorld, cell: Cell, share: float = 1.0, fields: dict[str, Any] | None = None) -> str:
    """Names all that a run's figures depend on beside its seed and the code."""
    if not cell.is_converted:
        return fingerprint(study.benchmark_version, study.fingerprint, [cell.method, cell.options], share)
    recipes = [(cell.recipe(step)[0].read_text(), cell.recipe(step)[1]) for step in range(len(cell.train))]
    how = [cell.method, cell.conversion(), recipes, cell.generate, *([cell.calibrate] if cell.calibrate else [])]
    return fingerprint(study.benchmark_version, study.fingerprint, how, share, fields or {})


def run_cell(study: StudyWorld, cell: Cell, seed: int, output_dir: Path, share: float, fields: dict[str, Any]) -> Run:
    """
    Train, answer, score, and keep the figures; what is there already is read.

    Args:
        study ([`StudyWorld`]): where.
        cell ([`Cell`]): what to run.
        seed (`int`): of the new modules and of the training.
        output_dir (`Path`): the study's folder.
        share (`float`): share of the benchmark's rows.
        fields (`dict[str, Any]`): fields that overrule every recipe's.

    Returns:
        `Run`: `cell` and `seed`; `claims` (as the world scores them); where a head assessed the questions `ece` (see
        [`score_calibration`]) and `evidence`; `cost`, means over the answers (see [`AnswerCost`]); `derived`, what a
        defence derived for this model; `seconds`, the `setting` they were taken in (see [`describe_setting`]), and the
        `key` that says what the figures belong to.
    """
    if (kept := find_run(study, cell, seed, output_dir, share, fields)) is not None:
        return kept
    started = time.monotonic()
    benchmark = benchmark_rows(study.build_benchmark, share)
    defended = defend(study, cell, seed, output_dir, fields)
    model, processor = defended.model, defended.processor
    # What a model looks into once, when it is first asked, is no part of an answer.
    defended.answer(benchmark.select([0]))
    with counted(model) as cost:
        answers = defended.answer(benchmark)
    is_assessed = cell.is_converted and answers[0]["level"] is not None
    run = {
        "key": run_key(study, cell, share, fields),
        "cell": cell.name,
        "seed": seed,
        "claims": study.score_claims(benchmark, answers),
        "ece": score_calibration(study, model, processor, benchmark, answers, share) if is_assessed else None,
        "evidence": study.score_evidence(model, processor, share) if is_assessed else None,
        "cost": cost.per_answer(len(answers)),
        "derived": defended.derived,
        "seconds": round(time.monotonic() - started, 1),
        "setting": describe_setting(*PACKAGES),
    }
    keep_run(output_dir, run)
    return run


def find_run(
    study: StudyWorld, cell: Cell, seed: int, output_dir: Path, share: float, fields: dict[str, Any]
) -> Run | None:
    """The run that is kept, if it is of this cell as it is now."""
    kept = read_runs(output_dir).get((cell.name, seed))
    return kept if kept is not None and kept["key"] == run_key(study, cell, share, fields) else None


def find_runs(
    study: StudyWorld, grid: dict[str, Cell], output_dir: Path, share: float, fields: dict[str, Any]
) -> dict[str, list[Run]]:
    """All runs that are kept and of the grid as it is now, in its order, so that it may have been run in parts."""
    kept = sorted(read_runs(output_dir).items())
    keys = {name: run_key(study, cell, share, fields) for name, cell in grid.items()}
    runs = {name: [run for (of, _), run in kept if of == name and run["key"] == key] for name, key in keys.items()}
    return {name: of_cell for name, of_cell in runs.items() if of_cell}


def defend(study: StudyWorld, cell: Cell, seed: int, output_dir: Path, fields: dict[str, Any]) -> Defended:
    """The model of a cell, trained or derived as it says, ready to be asked."""
    folder = build_model(study, cell, seed, models_dir(output_dir), fields) if cell.is_converted else study.world.base
    model = AutoModelForImageTextToText.from_pretrained(folder).to(default_device()).eval()
    processor = AutoProcessor.from_pretrained(folder)
    if not cell.is_converted:
        method = getattr(baselines, cell.method, None) or getattr(rivals, cell.method)
        return method(study, model, processor, seed, **cell.options)
    if model.config.use_safety_head and model.config.safety_training is None:
        # A head that has not learned is measured as it is. Elsewhere its verdicts would not be trusted.
        record_training(model)
    derived = calibrate_model(study, model, processor, **cell.calibrate) if cell.calibrate else {}
    answer_rows = partial(answer_dataset, **cell.generate) if cell.generate else answer_dataset
    return Defended(model, processor, answer_rows, derived)


def start_worker(threads: int) -> None:
    """Give each worker its share of the cores."""
    torch.set_num_threads(threads)
