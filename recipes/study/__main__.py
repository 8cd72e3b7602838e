"""The alignment study: what each part of the method is worth, against every simpler way.

    python -m recipes.study --output-dir study
    python -m recipes.study --output-dir study-smol --world smol --base smol

Every cell and seed is kept in `study/runs.jsonl` as soon as it is finished, every model in `study/models`: run again,
it goes on where it was. Tables and results are of all that the folder has, so that a grid may be run in parts.
"""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from tqdm import tqdm

from safe_llava.files import write_json

from .cell_run import find_run, find_runs, run_cell, start_worker
from .cells import Cell, load_cells
from .find_world import find_world
from .frontier import draw_frontier
from .over_seeds import summarize
from .run_settings import gather_settings
from .runs_file import models_dir, read_runs
from .study_tables import markdown_page, rich_table
from .study_world import StudyWorld


REDUCED_SHARE = 0.05


def main(
    output_dir: Annotated[
        Path, typer.Option(help="Gets results.json, tables.md, frontier.png, runs.jsonl and models.")
    ],
    world: Annotated[Literal["miniature", "smol"], typer.Option(help="What is trained and asked.")] = "miniature",
    base: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="The folder that `python -m recipes.smol` filled."),
    ] = None,
    reduced: Annotated[
        bool, typer.Option("--reduced", help="A few cells, one seed, few rows: shows that it runs, proves nothing.")
    ] = False,
    cell: Annotated[list[str] | None, typer.Option(help="Run this cell only; may be given several times.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Number of training seeds, from 0.")] = 3,
    jobs: Annotated[int, typer.Option(min=1, help="Cells to run at once; each gets its share of the cores.")] = 2,
) -> None:
    """Run or resume the grid, print its tables and draw the frontier."""
    study = find_world(world, base)
    grid = load_cells(study)
    names = cell or (study.reduced_cells if reduced else tuple(grid))
    if unknown := set(names) - set(grid):
        raise typer.BadParameter(f"No cell {', '.join(sorted(unknown))}; there are {', '.join(grid)}.")
    models_dir(output_dir).mkdir(parents=True, exist_ok=True)
    chosen = {name: grid[name] for name in grid if name in names}
    run_grid(study, chosen, output_dir, 1 if reduced else seeds, jobs, reduced)
    runs = find_runs(study, grid, output_dir, *share_and_fields(study, reduced))
    results = {
        "data": study.data,
        "benchmark_version": study.benchmark_version,
        "world": study.fingerprint,
        "reduced": reduced,
        "seeds": sorted({run["seed"] for of_cell in runs.values() for run in of_cell}),
        "settings": gather_settings([run for of_cell in runs.values() for run in of_cell]),
        "cells": {
            name: {
                "group": grid[name].group,
                "about": grid[name].about,
                **summarize(of_cell, study.safety, study.helpfulness),
            }
            for name, of_cell in runs.items()
        },
    }
    write_json(output_dir / "results.json", results)
    (output_dir / "tables.md").write_text(markdown_page(results, study))
    draw_frontier(results, output_dir / "frontier.png", study.noun)
    console = Console()
    shown = {(run["cell"], run["seed"]) for of_cell in runs.values() for run in of_cell}
    if left_out := sorted({name for name, _ in read_runs(output_dir).keys() - shown}):
        console.print(f"Left out are runs by other recipes, rows or worlds than now: {', '.join(left_out)}.")
    for title in study.tables:
        console.print(rich_table(results, title, study))


def run_grid(
    study: StudyWorld, cells: dict[str, Cell], output_dir: Path, seeds: int, jobs: int, reduced: bool
) -> None:
    """
    Run every cell with every seed, seed by seed, so that a part of the grid is a study too.

    Args:
        study ([`StudyWorld`]): where.
        cells (`dict[str, Cell]`): what to run, by name.
        output_dir (`Path`): the study's folder.
        seeds (`int`): number of training seeds, from 0. What trains nothing is run once.
        jobs (`int`): cells to run at once; one runs in this process.
        reduced (`bool`): few rows and steps, to show that it runs.
    """
    threads = max(1, (os.cpu_count() or 1) // jobs)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    share, fields = share_and_fields(study, reduced)
    tasks = [(name, seed) for seed in range(seeds) for name in cells if seed == 0 or cells[name].is_seeded]
    # The processes get it with the study, and need not compute it again.
    _ = study.fingerprint
    left = [task for task in tasks if find_run(study, cells[task[0]], task[1], output_dir, share, fields) is None]
    if jobs == 1:
        for name, seed in tqdm(left, desc="cells"):
            run_cell(study, cells[name], seed, output_dir, share, fields)
    elif left:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(jobs, context, start_worker, (threads,)) as pool:
            futures = [
                pool.submit(run_cell, study, cells[name], seed, output_dir, share, fields) for name, seed in left
            ]
            for future in tqdm(as_completed(futures), total=len(futures), desc="cells"):
                future.result()


def share_and_fields(study: StudyWorld, reduced: bool) -> tuple[float, dict[str, Any]]:
    """The share of the benchmark's rows, and the fields that overrule every recipe's."""
    return (REDUCED_SHARE, study.reduced_fields) if reduced else (1.0, {})


if __name__ == "__main__":
    typer.run(main)
