"""
How often a risk is found, and something harmless taken for one, by the share of the image that it covers.

    python -m recipes.study.small_risks --output-dir small-risks

Four guards read the same images: LLaVA-1.5's square; overlapping crops of each image beside it (the same weights);
the base tile of a LLaVA-NeXT; all its tiles. A finished seed is kept, and a second run goes on behind it.
"""

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from tqdm import tqdm

from safe_llava.files import describe_machine, describe_versions, write_json
from safe_llava.models.image_crops import cut_crops
from safe_llava.models.safety_policy import SafetyPolicy

from ..over_seeds import over_seeds
from .contenders import Contender, build_contender, train
from .large_scenes import LargeScene, draw_test_scenes, draw_training_scenes


READINGS = {"square": None, "base": None, "all": None, "square with crops": 3}
"""What the guards read, and how many crops a side of each image beside it."""
POLICY = SafetyPolicy()
_BATCH = 50


def main(
    output_dir: Annotated[Path, typer.Option(help="Gets results.json and table.md, and a file for each seed.")],
    seeds: Annotated[int, typer.Option(min=1, help="Number of training seeds, from 0.")] = 3,
    rows: Annotated[int, typer.Option(min=32, help="Scenes to train on.")] = 6000,
    test_rows: Annotated[int, typer.Option(min=1, help="Test scenes of each kind and size.")] = 200,
) -> None:
    """Train and measure, or go on, and write the table."""
    output_dir.mkdir(parents=True, exist_ok=True)
    asked = {"rows": rows, "test_rows": test_rows}
    runs = [_run_seed(output_dir / f"seed{seed}.json", seed, **asked) for seed in range(seeds)]
    figures = {
        name: {group: over_seeds([run[name][group] for run in runs], test_rows) for group in runs[0][name]}
        for name in READINGS
    }
    where = {"machine": describe_machine(), "versions": describe_versions("torch", "transformers")}
    write_json(output_dir / "results.json", {**asked, "seeds": list(range(seeds)), **where, "figures": figures})
    table = make_table(figures)
    (output_dir / "table.md").write_text(table, encoding="utf-8")
    typer.echo(table)


def make_table(figures: dict[str, Any]) -> str:
    """Risks found and harmless scenes taken for risky by size, in percent with 95 % intervals, in Markdown."""
    groups = list(next(iter(figures.values())))
    lines = [["", *figures], ["---", *["---:"] * len(figures)]]
    lines += [[group, *(_percent(figures[name][group]) for name in figures)] for group in groups]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _percent(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{100 * figure['mean']:.1f} ({100 * low:.1f}-{100 * high:.1f})"


def _run_seed(path: Path, seed: int, rows: int, test_rows: int) -> dict[str, dict[str, float]]:
    """For each reading the share of each group of test scenes that the policy acts on, and `path` written with it."""
    asked = {"rows": rows, "test_rows": test_rows}
    if path.exists() and (kept := json.loads(path.read_text(encoding="utf-8")))["asked"] == asked:
        return kept["shares"]
    shares: dict[str, dict[str, float]] = {}
    for reads in ("square", "base", "all"):
        contender = build_contender(reads, seed)
        with tempfile.TemporaryDirectory() as folder:
            loss = train(contender, draw_training_scenes(rows, seed), seed, folder)
        typer.echo(f"seed {seed}, {reads}: loss {loss:.3f}")
        for name, crops in READINGS.items():
            if name.startswith(reads):
                shares[name] = _measure(contender, crops, test_rows)
    write_json(path, {"asked": asked, "shares": shares})
    return shares


def _measure(contender: Contender, crops: int | None, test_rows: int) -> dict[str, float]:
    tests = draw_test_scenes(test_rows)
    shares = {}
    for (kind, area), scenes in tqdm(tests.items(), desc="test", leave=False):
        name = "harmless, no sign" if kind == "no_sign" else f"{kind.replace('_', '-')}, {100 * area:g} %"
        shares[name] = sum(_acts(contender, scenes, crops)) / len(scenes)
    return shares


def _acts(contender: Contender, scenes: list[LargeScene], crops: int | None) -> Iterator[bool]:
    """Whether the default policy hints or refuses, for each scene."""
    for start in range(0, len(scenes), _BATCH):
        images = [scene.image for scene in scenes[start : start + _BATCH]]
        rows = [[image, *([] if crops is None else cut_crops(image, crops))] for image in images]
        with torch.inference_mode():
            verdict = contender.model.assess(**contender.encode(rows), safety_policy=POLICY)
        yield from (decision.action != "answer" for decision in contender.model.decide(verdict, POLICY))


if __name__ == "__main__":
    typer.run(main)
