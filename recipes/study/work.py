"""Runs one cell of the grid with one seed: the model, its answers, its figures."""

import json
import time
from functools import cache
from pathlib import Path
from typing import Any

import baselines
import numpy as np
import torch
from cells import Cell, fingerprint
from datasets import Dataset
from models import build_model, world_fingerprint
from scipy.special import softmax
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, ProcessorMixin

from safe_llava import SafetyPolicy
from safe_llava.calibration import calibrate_policy, collect_logits, select_rows
from safe_llava.inference import answer_dataset
from safe_llava.miniature import CHECKPOINT
from safe_llava.miniature.alignment_benchmark import BENCHMARK_VERSION, build_benchmark
from safe_llava.miniature.conversations import Conversation, sample_conversations
from safe_llava.miniature.evidence_scoring import score_evidence
from safe_llava.miniature.scene_dataset import build_dataset
from safe_llava.miniature.scoring import score_claims
from safe_llava.statistics import expected_calibration_error


UNSEEN = ("restyled", "attack")
EVIDENCE_SEED = 100
NUM_CALIBRATION_ROWS = 1000


@cache
def benchmark_rows(share: float) -> Dataset:
    return build_benchmark(share=share)


def result_path(cell: Cell, seed: int, output_dir: Path) -> Path:
    return output_dir / "runs" / f"{cell.name}-{seed}.json"


def run_cell(cell: Cell, seed: int, output_dir: Path, share: float, fields: dict[str, Any]) -> dict[str, Any]:
    """Train, answer, score, and keep the figures; what is there already is read.

    Args:
        cell: What to run.
        seed: Seed of the new modules and of the training.
        output_dir: The study's folder.
        share: Share of the benchmark's rows.
        fields: Fields that overrule every recipe's.

    Returns:
        `claims` (see [`score_claims`]); where the head judged `ece` (see [`score_calibration`]) and `evidence` (see
        [`score_evidence`]); `seconds`, and the `key` that says what the figures belong to.
    """
    path = result_path(cell, seed, output_dir)
    recipes = [(cell.recipe(step)[0].read_text(), cell.recipe(step)[1]) for step in range(len(cell.train))]
    how = (cell.method, cell.conversion(), recipes, cell.generate)
    key = fingerprint(BENCHMARK_VERSION, world_fingerprint(), how, share, fields)
    if path.exists() and (kept := json.loads(path.read_text()))["key"] == key:
        return kept
    started = time.monotonic()
    benchmark = benchmark_rows(share)
    folder = CHECKPOINT if cell.method != "generate" else build_model(cell, seed, output_dir / "models", fields)
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    if cell.method == "generate":
        answers = answer_dataset(model, processor, benchmark, **cell.generate)
    else:
        answers = getattr(baselines, cell.method)(model, processor, benchmark)
    is_judged = cell.method == "generate" and answers[0]["level"] is not None
    result = {
        "key": key,
        "cell": cell.name,
        "seed": seed,
        "claims": score_claims(benchmark, answers),
        "ece": score_calibration(model, processor, benchmark, answers, share) if is_judged else None,
        "evidence": score_evidence(model, processor, evidence_rows(share)) if is_judged else None,
        "seconds": round(time.monotonic() - started, 1),
    }
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(result, indent=1) + "\n")
    partial.rename(path)
    return result


def evidence_rows(share: float) -> list[Conversation]:
    """Held-out risky conversations of the benchmark's kinds, with the scenes that they were drawn from."""
    return sample_conversations("test", round(1000 * share), seed=EVIDENCE_SEED)


def score_calibration(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    benchmark: Dataset,
    answers: list[dict[str, Any]],
    share: float,
) -> dict[str, float]:
    """Fit the temperatures on validation scenes, then measure the calibration error on the benchmark's.

    Returns:
        The error of level and type, before and after, over the claims whose looks the training has ("seen") and over
        the others ("unseen").
    """
    rows, _ = select_rows(build_dataset("validation", max(100, round(NUM_CALIBRATION_ROWS * share))))
    fitted = calibrate_policy(SafetyPolicy(), **collect_logits(model, processor, rows))  # type: ignore[arg-type]
    temperature = fitted.policy.temperature
    errors = {}
    for where, is_meant in (("seen", lambda claim: claim not in UNSEEN), ("unseen", lambda claim: claim in UNSEEN)):
        for name in ("level", "type"):
            judged = [
                (answer[f"{name}_probs"], label)
                for answer, label, claim in zip(answers, benchmark[f"safety_{name}"], benchmark["claim"])
                if claim != "text_only" and is_meant(claim)
            ]
            probs, labels = (np.array(values) for values in zip(*judged))
            for when, divisor in (("before", 1.0), ("after", temperature[name])):
                scaled = softmax(np.log(probs.clip(1e-12)) / divisor, axis=1)
                is_right = scaled.argmax(axis=1) == labels
                errors[f"{where}_{name}_{when}"] = expected_calibration_error(scaled.max(axis=1), is_right)
    return errors


def start_worker(threads: int) -> None:
    """Give each worker its share of the cores."""
    torch.set_num_threads(threads)
