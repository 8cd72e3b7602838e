"""Puts the figures of an evaluation beside a checkpoint, and into its model card."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..files import write_json
from ..model_card import EVALUATION_FILE, write_model_card
from .result_table import COLUMNS, NOTE, table_rows, title
from .run_evaluation import SMOKE_SCORER


def write_evaluation_card(folder: Path, results: Mapping[str, Any]) -> Path:
    """
    Writes `evaluation.json` into a checkpoint's folder and its `README.md` anew, whose metadata then carries the
    figures as the Hub's `model-index`.

    Args:
        folder (`Path`): the checkpoint that was evaluated.
        results (`Mapping`): of [`~safe_llava.evaluation.run_evaluation.run_evaluation`].

    Returns:
        `Path`: the card.

    Raises:
        ValueError: if the policy was changed for the evaluation: the card speaks of the policy that is stored.
    """
    if results["safety_policy"] is not None:
        raise ValueError(
            "These figures are of a changed policy, and a model card describes the stored one. Store it first, with "
            "`safe-llava calibrate` or `model.set_safety_policy` and `save_pretrained`, and evaluate again without "
            "`safety_policy`."
        )
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    evaluation = {
        "title": title(results),
        "note": f"{NOTE} {results['machine']}; {versions}.",
        "columns": COLUMNS,
        "rows": table_rows(results),
        "figures": list(_figures(results)),
    }
    write_json(folder / EVALUATION_FILE, evaluation)
    return write_model_card(folder)


def _figures(results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Figures of the model alone, as the Hub lists them."""
    judge = "" if results["judge"] is None else f", judge {results['judge']}"
    for found in results["benchmarks"].values():
        settings = found["settings"]
        for figure in found["figures"]:
            if figure["figure"] == SMOKE_SCORER:
                continue
            yield {
                "dataset": settings["benchmark"],
                "split": settings["split"],
                "rows": settings["rows"],
                "metric": f"{figure['figure']}_{figure['harm']}",
                "name": f"{figure['label']}{judge}",
                "value": figure["model"]["value"],
            }
    utility = results["utility"] or {"model": {}}
    for task, found in utility["model"].items():
        for name, figure in found["figures"].items():
            yield {
                "dataset": task,
                "split": None,
                "rows": found["samples"],
                "metric": name,
                "name": name,
                "value": figure["value"],
            }
