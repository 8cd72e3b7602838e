"""
How often a risk is found, and something harmless taken for one, by the share of the image that it covers.

    python -m recipes.study.small_risks --output-dir small-risks

Four guards read the same images: LLaVA-1.5's square; overlapping crops of each image beside it (the same weights);
the base tile of a LLaVA-NeXT; all its tiles. A finished seed is kept, and a second run goes on behind it.
"""

import json
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import torch
import typer
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor

from safe_llava.files import atomic_path, describe_versions, write_json
from safe_llava.miniature import CHECKPOINT

from ...benchmark.machine import describe_this_machine
from ..over_seeds import over_seeds
from ..runs_file import models_dir
from .any_size_tower import teach_tower
from .contenders import Contender, build_contender, train
from .large_scenes import draw_training_scenes
from .reading_scores import measure_costs, score_reading
from .scene_views import draw_first_views


READINGS = {"square": None, "base": None, "all": None, "square with crops": 3}
"""What the guards read, and how many crops a side of each image beside it."""
TOWER = {"scenes": 2500, "steps": 240}
"""A round of teaching the tower of all guards, with scenes of its own."""
FIRST_ROWS, FIRST_EPOCHS = 2000, 3
"""Parts of large scenes on which all guards of a seed begin to learn, as one square: the same weights for all."""
EPOCHS = 3


def main(
    output_dir: Annotated[Path, typer.Option(help="Gets results.json and table.md, and a file for each seed.")],
    seeds: Annotated[int, typer.Option(min=1, help="Number of training seeds, from 0.")] = 3,
    rows: Annotated[int, typer.Option(min=32, help="Large scenes to train on.")] = 1500,
    test_rows: Annotated[int, typer.Option(min=1, help="Test scenes of each kind and size.")] = 60,
    tower_rounds: Annotated[int, typer.Option(min=0, help="Rounds in which the tower is taught to see.")] = 2,
) -> None:
    """Train and measure, or go on, and write the table."""
    models_dir(output_dir).mkdir(parents=True, exist_ok=True)
    asked = {"rows": rows, "test_rows": test_rows, "tower_rounds": tower_rounds}
    runs = [_run_seed(output_dir, seed, asked) for seed in range(seeds)]
    where = {"machine": describe_this_machine(), "versions": describe_versions("torch", "transformers")}
    results = {**asked, "seeds": list(range(seeds)), **where, **summarize_runs(runs, test_rows)}
    write_json(output_dir / "results.json", results)
    table = make_table(results)
    (output_dir / "table.md").write_text(table, encoding="utf-8")
    typer.echo(table)


def summarize_runs(runs: list[dict[str, Any]], test_rows: int) -> dict[str, Any]:
    """`figures` by reading and group of test scenes, with intervals, and `costs` by reading, means over seeds."""
    shares, costs = ([run[name] for run in runs] for name in ("shares", "costs"))
    return {
        "figures": {
            name: {group: over_seeds([of_seed[name][group] for of_seed in shares], test_rows) for group in groups}
            for name, groups in shares[0].items()
        },
        "costs": {
            name: {
                "tiles": costs[0][name]["tiles"],
                "seconds": mean(of_seed[name]["seconds"] for of_seed in costs),
                "times_square": mean(of_seed[name]["seconds"] / of_seed["square"]["seconds"] for of_seed in costs),
            }
            for name in costs[0]
        },
    }


def make_table(results: dict[str, Any]) -> str:
    """What the policy acts on by size, in percent with 95 % intervals, and the cost, in Markdown."""
    figures, costs = results["figures"], results["costs"]
    kinds = ("risky", "look-alike", "harmless")
    groups = sorted(next(iter(figures.values())), key=lambda group: kinds.index(group.split(",")[0]))
    lines = [["", *figures], ["---", *["---:"] * len(figures)]]
    lines += [[group, *(_percent(figures[name][group]) for name in figures)] for group in groups]
    lines.append(["tiles that a guard's tower sees", *(f"{costs[name]['tiles']:.1f}" for name in figures)])
    lines.append(
        ["processor seconds an image, square = 1", *(f"{costs[name]['times_square']:.1f}" for name in figures)]
    )
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _percent(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{100 * figure['mean']:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def _run_seed(output_dir: Path, seed: int, asked: dict[str, int]) -> dict[str, Any]:
    """`shares` of each reading and group that the policy acts on, and `costs` of each reading; kept in a file."""
    path = output_dir / f"seed{seed}.json"
    if path.exists() and (kept := json.loads(path.read_text(encoding="utf-8")))["asked"] == asked:
        return kept
    start = _find_tower(models_dir(output_dir), asked["tower_rounds"])
    first = build_contender("square", seed, start)
    loss = train(first, draw_first_views(FIRST_ROWS, seed), seed, FIRST_EPOCHS, 2e-3)
    typer.echo(f"seed {seed}, first: loss {loss:.3f}")
    start = first.model.state_dict()
    scenes = draw_training_scenes(asked["rows"], seed)
    readings: dict[str, tuple[Contender, int | None]] = {}
    for reads in ("square", "base", "all"):
        contender = build_contender(reads, seed, start)
        typer.echo(f"seed {seed}, {reads}: loss {train(contender, scenes, seed, EPOCHS, 1e-3):.3f}")
        readings |= {name: (contender, crops) for name, crops in READINGS.items() if name.startswith(reads)}
    shares = {name: score_reading(*readings[name], test_rows=asked["test_rows"]) for name in READINGS}
    run = {"asked": asked, "shares": shares, "costs": measure_costs({name: readings[name] for name in READINGS})}
    write_json(path, run)
    return run


def _find_tower(folder: Path, rounds: int) -> dict[str, torch.Tensor]:
    """The weights of the tower that all guards share; each round of teaching is kept, and goes on behind the last."""
    stock, processor = (auto.from_pretrained(CHECKPOINT) for auto in (AutoModelForImageTextToText, AutoProcessor))
    tower = stock.model.vision_tower
    for number in range(rounds):
        path = folder / f"tower{number}.safetensors"
        if path.exists():
            tower.load_state_dict(load_file(path))
            continue
        tower = teach_tower(tower, processor.image_processor, **TOWER, seed=number)
        with atomic_path(path) as partial:
            save_file(tower.state_dict(), partial)
    return {f"model.vision_tower.{name}": value for name, value in tower.state_dict().items()}


if __name__ == "__main__":
    typer.run(main)
