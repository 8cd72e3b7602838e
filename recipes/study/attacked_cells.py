"""
Cells of the study under attack: every attack that `safe-llava attack` knows, on a rival as on ours.

    python -m recipes.study.attacked_cells --output-dir study --suite icet --suite typographic --cell ours --cell davsp

Models are those of the study in the same folder, and trained where they are not there yet. Every outcome is kept at
once; run again, it goes on. Cells may be attacked one by one: attacks.json keeps those that met the same attacks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from datasets import Dataset, Features, Image, List, Value
from filelock import FileLock

from safe_llava.evaluation.attacks.attack_figures import CLEAN, OUTPUTS, tabulate
from safe_llava.evaluation.attacks.attack_reply import AttackReply
from safe_llava.evaluation.attacks.attack_row import AttackRow, draw_risky_rows
from safe_llava.evaluation.attacks.attack_suites import ALL, build_attacks, split_suites
from safe_llava.evaluation.attacks.attack_target import AttackTarget
from safe_llava.evaluation.attacks.attack_trials import try_attacks
from safe_llava.evaluation.attacks.outcome_log import OutcomeLog
from safe_llava.files import atomic_path, read_json, write_json
from safe_llava.inference import answer_dataset

from ..benchmark.machine import describe_setting
from .attack_tables import AttackedCells, attack_table
from .cell_run import defend, run_key
from .cells import Cell, load_cells
from .defended import Answers, Defended
from .find_world import find_world
from .over_seeds import over_seeds
from .runs_file import models_dir
from .study_world import StudyWorld


RESULTS = "attacks.json"
ROW_SEED = 0
FEATURES = Features({"messages": List({"role": Value("string"), "content": Value("string")}), "images": List(Image())})


def main(
    output_dir: Annotated[
        Path, typer.Option(help="The study's folder. Gets attacks.json, attacks.md, outcomes.jsonl.")
    ],
    cell: Annotated[list[str], typer.Option(help="Attack this cell; may be given several times.")],
    suite: Annotated[list[str] | None, typer.Option(help="As of `safe-llava attack`; all by default.")] = None,
    world: Annotated[Literal["miniature", "smol"], typer.Option(help="What draws the rows.")] = "miniature",
    base: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="The folder of --world smol.")
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Risky rows to attack, the same for every cell.")] = 100,
    seeds: Annotated[int, typer.Option(min=1, help="Number of training seeds, from 0.")] = 3,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each descent on the pixels.")] = 40,
    restarts: Annotated[int, typer.Option(min=1, help="Random starts of each descent.")] = 2,
) -> None:
    """Attack cells of the grid, and write how often they give way."""
    study = find_world(world, base)
    grid = load_cells(study)
    if unknown := set(cell) - set(grid):
        raise typer.BadParameter(f"No cell {', '.join(sorted(unknown))}; there are {', '.join(grid)}.")
    if optional := [name for name in cell if grid[name].generate]:
        raise typer.BadParameter(
            f"{', '.join(optional)}: attacks give `generate` no options. Attack the cell of the same training, or "
            "its model with `safe-llava attack --policy`."
        )
    suites = split_suites(suite or [ALL])
    models_dir(output_dir).mkdir(parents=True, exist_ok=True)
    attacked = draw_risky_rows(study.world, rows, ROW_SEED)
    conditions = {
        "data": f"{rows} risky rows of {study.world.data}",
        "world": study.fingerprint,
        "suites": suites,
        "steps": steps,
        "restarts": restarts,
        "seeds": list(range(seeds)),
    }
    keys = {name: run_key(study, in_grid) for name, in_grid in grid.items()}
    if (output_dir / RESULTS).exists() and not _read_cells(output_dir, conditions, keys):
        typer.echo(f"{output_dir / RESULTS} is of other attacks, or of other models: it is written anew.", err=True)
    for name in cell:
        if name in _read_cells(output_dir, conditions, keys):
            continue
        of_seeds = range(seeds) if grid[name].is_seeded else range(1)
        tables = [
            attack_cell(study, grid[name], seed, output_dir, suites, attacked, steps, restarts) for seed in of_seeds
        ]
        _keep_cell(output_dir, conditions, keys, name, [_join_seeds(of_attack) for of_attack in zip(*tables)])
    typer.echo((output_dir / "attacks.md").read_text(encoding="utf-8"))


def _read_cells(output_dir: Path, conditions: dict[str, Any], keys: dict[str, str]) -> AttackedCells:
    """The cells that are kept, if they met these attacks as they are now."""
    kept = read_json(output_dir / RESULTS) or {}
    if any(kept.get(name) != each for name, each in conditions.items()):
        return {}
    return {name: figures for name, figures in kept["cells"].items() if kept["keys"][name] == keys.get(name)}


def _keep_cell(
    output_dir: Path, conditions: dict[str, Any], keys: dict[str, str], cell: str, figures: Sequence[dict[str, Any]]
) -> None:
    """Keeps the figures of a cell beside the others. Several processes may do so."""
    with FileLock(models_dir(output_dir) / "attacks.lock"):
        cells = {**_read_cells(output_dir, conditions, keys), cell: figures}
        cells = {name: cells[name] for name in keys if name in cells}
        settings = {**(read_json(output_dir / RESULTS) or {}).get("settings", {}), cell: describe_setting()}
        results = {
            **conditions,
            "keys": {name: keys[name] for name in cells},
            "settings": {name: settings.get(name) for name in cells},
            "cells": cells,
        }
        write_json(output_dir / RESULTS, results)
        with atomic_path(output_dir / "attacks.md") as partial:
            partial.write_text(attack_table(cells), encoding="utf-8")


def attack_cell(
    study: StudyWorld,
    cell: Cell,
    seed: int,
    output_dir: Path,
    suites: Sequence[str],
    rows: Sequence[AttackRow],
    steps: int,
    restarts: int,
) -> list[dict[str, Any]]:
    """The figures of each attack on one cell with one seed; see [`tabulate`]."""
    target = aim_at(study, defend(study, cell, seed, output_dir, {}))
    attacks = [
        attack
        for attack in build_attacks(suites, target, study.world, steps, restarts)
        if target.answer_rows is None or not attack.begins_answer
    ]
    log = OutcomeLog(output_dir / "outcomes.jsonl")
    # Descents with other steps are other attacks.
    model = f"{cell.name}/{seed}/{run_key(study, cell)}/{steps}x{restarts}"
    return tabulate(attacks, try_attacks(target, attacks, rows, log, model))


def aim_at(study: StudyWorld, defended: Defended) -> "DefendedTarget":
    """A defence as attacks take it. Hooks on its model and words of its processor are on while it is attacked."""
    return DefendedTarget(
        defended.model.requires_grad_(False),
        defended.processor,
        study.world.grammar,
        ROW_SEED,
        answer_rows=None if defended.answer_rows is answer_dataset else defended.answer_rows,
    )


@dataclass(frozen=True)
class DefendedTarget(AttackTarget):
    """
    A model that is attacked with its defence.

    Args:
        answer_rows (`Callable`, *optional*):
            How it answers, where that takes more than one `generate`. What descends a gradient then descends that of
            the first answer, and nobody else can begin an answer.
    """

    answer_rows: Callable[[Any, Any, Dataset], Answers] | None = None

    def ask(self, rows: Sequence[AttackRow]) -> list[AttackReply]:
        """As its parent, through the whole defence."""
        if self.answer_rows is None:
            return super().ask(rows)
        if any(row.begun for row in rows):
            raise ValueError("This defence answers in several passes, so that nobody else can begin its answer.")
        asked = [
            {
                "messages": [*row.messages, {"role": "assistant", "content": row.target}],
                "images": list(row.images),
            }
            for row in rows
        ]
        answers = self.answer_rows(self.model, self.processor, Dataset.from_list(asked, features=FEATURES))
        return [self._reply(row, answer["answer"], {}) for row, answer in zip(rows, answers)]


def _join_seeds(of_attack: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of one attack over training seeds."""
    first = of_attack[0]
    joined: dict[str, Any] = {name: first[name] for name in ("attack", "suite", "about", "rows")}
    for output in OUTPUTS:
        joined[output] = first[output] and {
            when: over_seeds([figures[output][when]["value"] for figures in of_attack], first["rows"])
            for when in (CLEAN, "attacked")
        }
    return joined | {"cost": [figures["cost"] for figures in of_attack]}


if __name__ == "__main__":
    typer.run(main)
