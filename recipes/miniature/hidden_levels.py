"""
What a head learns of risk levels when most are not known: stage 1 on scenes with every level, and on the same scenes
when of most risky ones only some risk is known. Both are asked for the levels of scenes that are held out.

    python -m recipes.miniature.hidden_levels MODEL OUTPUT [--seeds 3] [--hidden 0.8]
"""

from pathlib import Path
from typing import Any

import numpy as np
import typer
from datasets import Dataset

from safe_llava.data.columns import with_label_indices
from safe_llava.files import RECIPES, read_json
from safe_llava.miniature.scene_dataset import build_dataset
from safe_llava.run_recipe import run_recipe


def hide_levels(dataset: Dataset, share: float, seed: int) -> Dataset:
    """The same rows; of a share of the risky ones the level is any but "none"."""
    levels = [[level] for level in dataset["safety_level"]]
    risky = [row for row, level in enumerate(levels) if level != [0]]
    for row in np.random.default_rng(seed).permutation(risky)[: round(share * len(risky))]:
        levels[row] = [1, 2, 3]
    return with_label_indices(dataset.remove_columns("safety_level").add_column("safety_level", levels))


def main(
    model: Path, output: Path, seeds: int = 3, hidden: float = 0.8, num_rows: int = 4500, epochs: int = 6
) -> None:
    fields: dict[str, Any] = {
        "num_train_epochs": epochs,
        "eval_dataset_name": output / "test",
        "vision_feature_cache": output / "features",
        "check_images": False,
    }
    build_dataset("validation", 600, stage="stage1").save_to_disk(fields["eval_dataset_name"])
    typer.echo("seed  level accuracy with all levels  with hidden levels  difference")
    for seed in range(seeds):
        known = build_dataset("train", num_rows, seed, stage="stage1")
        accuracies = []
        for name, rows in (("known", known), ("hidden", hide_levels(known, hidden, seed))):
            data, trained = output / f"{name}-{seed}-rows", output / f"{name}-{seed}"
            rows.save_to_disk(data)
            recipe = RECIPES / "miniature/stage1.yaml"
            run_recipe(recipe, model, trained, seed, log=output / "log.txt", dataset_name=data, **fields)
            accuracies.append(read_json(trained / "eval_results.json")["eval_level_accuracy"])
        typer.echo(f"{seed:4}  {accuracies[0]:.3f}  {accuracies[1]:.3f}  {accuracies[1] - accuracies[0]:+.3f}")


if __name__ == "__main__":
    typer.run(main)
