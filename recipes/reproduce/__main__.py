"""
From public data to an evaluated SafeLLaVA in one command, which goes on where it was.

    python -m recipes.reproduce --config recipes/reproduce/llava-1.5-7b.yaml --dry-run
"""

import warnings
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from safe_llava.cli.options import reported

from ..steps.run_steps import alone_in, check_names, run_steps, undone
from ..steps.step_records import StepRecords
from .dry_run import describe_run
from .prerequisites import find_missing
from .reproduction_config import read_reproduction
from .reproduction_steps import build_steps
from .training_recipes import write_recipes


def main(
    config: Annotated[
        Path, typer.Option(exists=True, dir_okay=False, help="Such as recipes/reproduce/miniature.yaml.")
    ],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print steps, licences, cost and what is missing; exit 1 if anything is.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="STEP", help="Run this step alone, again if it is done; may be repeated."),
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="STEP", help="Run this step and all behind it again.")
    ] = None,
    done: Annotated[
        list[str] | None,
        typer.Option(metavar="STEP", help="You ran this step's command by hand: its output counts. May be repeated."),
    ] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="Takes the place of the file's; 0 is the CPU.")] = None,
) -> None:
    """Run what is not done yet: get the sets, mix, convert, train both stages, calibrate, evaluate, write the card."""
    if sum(map(bool, (dry_run, only, from_, done))) > 1:
        raise typer.BadParameter("--dry-run, --only, --from and --done exclude each other.")
    # As in recipes/train.py.
    warnings.filterwarnings("ignore", message="`(is_)?gradient_checkpointing` is deprecated", category=FutureWarning)
    with reported():
        whole = read_reproduction(config, gpus)
        steps = build_steps(config, whole)
        check_names(steps, (*(only or ()), *(done or ()), *([from_] if from_ else ())))
        records = StepRecords(whole.folder)
        write_recipes(whole)
        if dry_run:
            states = records.states(steps)
            missing = find_missing(whole, steps, undone(states))
            typer.echo(describe_run(whole, steps, states, missing))
            raise typer.Exit(1 if missing else 0)
        with alone_in(whole.folder) as lock:
            for step in steps:
                if step.name in (done or ()):
                    records.accept(step)
            if not done:
                run_steps(steps, records, lock, only or (), from_, partial(find_missing, whole, steps))


if __name__ == "__main__":
    typer.run(main)
