"""
Gathers what a reproduction has found in one file, and writes the model's card.

    python -m recipes.reproduce.write_results --config recipes/reproduce/miniature.yaml

`metrics.json` leaves out times, paths and names of machines, so that a repeated run writes the same bytes.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from safe_llava.files import describe_versions, read_json, write_json
from safe_llava.model_card import write_model_card

from ..steps.file_digests import FileDigests, Files
from .reproduction_config import Reproduction, read_reproduction


PACKAGES = ("accelerate", "datasets", "peft", "torch", "transformers", "trl")
CALIBRATION = ("left_out", "target", "counts", "temperature", "over_refusal", "recall", "head", "types")
FIGURE = ("figure", "harm", "label", "model", "base", "difference")


def main(config: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="The reproduction's file.")]) -> None:
    """Write metrics.json and the card."""
    whole = read_reproduction(config)
    metrics = gather_metrics(whole)
    write_json(whole.folder / "metrics.json", metrics)
    card = write_model_card(whole.folder / "stage2", data=describe_data(whole, metrics))
    typer.echo(f"All figures: {whole.folder / 'metrics.json'}. The card: {card}.")


def describe_data(whole: Reproduction, metrics: dict[str, Any]) -> str:
    """What was trained on, with the rows of each set, for the card."""
    mixes = []
    for stage, found in metrics["stages"].items():
        rows = ", ".join(f"{of_set['used']:,} of {of_set['name']}" for of_set in found["mix"]["sets"])
        mixes.append(f"{stage}: {rows}")
    return f"{whole.data} Rows of {'; '.join(mixes)}."


def gather_metrics(whole: Reproduction) -> dict[str, Any]:
    """
    What `metrics.json` holds.

    Args:
        whole ([`Reproduction`]): what was reproduced.

    Returns:
        `dict[str, Any]`: `data`, `base`, `seed`, `versions`; under `stages` for each its `mix` and digests of its
        `weights`; `held_out`, what the head found when stage 1 ended; `calibration`; `benchmarks`, both models'
        figures; and `utility`.
    """
    folder = whole.folder
    digests = FileDigests(folder / ".reproduce" / "digests.json")
    calibration = read_json(folder / "calibration" / "calibration.json")
    evaluation = read_json(folder / "evaluation" / "results.json")
    stages = {}
    for name in ("stage1", "stage2"):
        weights = sorted((folder / name).glob("*.safetensors"))
        stages[name] = {
            "mix": read_json(folder / name / "data.json"),
            "weights": {path.name: digests.digest(Files(path)) for path in weights},
        }
    return {
        "data": whole.data,
        "base": whole.base,
        "seed": whole.seed,
        "versions": describe_versions(*PACKAGES),
        "stages": stages,
        "held_out": read_json(folder / "stage1" / "config.json")["safety_training"]["held_out"],
        "calibration": {name: calibration[name] for name in CALIBRATION},
        "judge": evaluation["judge"],
        "benchmarks": {
            name: [{key: figure[key] for key in FIGURE} for figure in found["figures"]]
            for name, found in evaluation["benchmarks"].items()
        },
        "utility": evaluation["utility"],
    }


if __name__ == "__main__":
    typer.run(main)
