"""
From public data to an evaluated SafeLLaVA in one command, which goes on where it was.

    python -m recipes.reproduce --config recipes/reproduce/llava-1.5-7b.yaml --dry-run
"""

import fcntl
import os
import shlex
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from safe_llava.cli.options import reported

from .dry_run import describe_run
from .prerequisites import find_missing
from .reproduction_config import Reproduction, read_reproduction
from .reproduction_steps import build_steps
from ..steps.step_records import State, Step, StepRecords
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
        for name in (*(only or ()), *(done or ()), *([from_] if from_ else ())):
            if name not in [step.name for step in steps]:
                raise ValueError(f"There is no step {name!r}; there are {', '.join(step.name for step in steps)}.")
        records = StepRecords(whole.folder)
        write_recipes(whole)
        if dry_run:
            states = records.states(steps)
            missing = find_missing(whole, steps, _undone(states))
            typer.echo(describe_run(whole, steps, states, missing))
            raise typer.Exit(1 if missing else 0)
        with _alone_in(whole.folder) as lock:
            for step in steps:
                if step.name in (done or ()):
                    records.accept(step)
            if not done:
                _run(whole, steps, records, only or [], from_, lock)


def _run(
    whole: Reproduction, steps: Sequence[Step], records: StepRecords, only: list[str], first: str | None, lock: int
) -> None:
    names = [step.name for step in steps]
    wanted = only or names[names.index(first) :] if first else only or names
    again = wanted if only or first else []
    states = records.states(steps)
    if first and (not_done := [name for name in names[: names.index(first)] if states[name].name != "done"]):
        raise ValueError(f"{first} comes behind {not_done[0]}, which is not done ({states[not_done[0]]}).")
    if missing := find_missing(whole, steps, again or _undone(states)):
        raise ValueError("This is missing, and --dry-run says more:\n" + "\n".join(f"  {each}" for each in missing))
    for step in steps:
        if step.name not in wanted:
            continue
        state = records.state(step)
        for other in steps:
            if step.needs(other) and records.state(other).name != "done":
                raise ValueError(f"{step.name} needs {other.name}, which is not done. Run it first.")
        if state.name == "done" and step.name not in again:
            typer.echo(f"{step.name}: done")
            continue
        command = records.start(step)
        typer.echo(f"{step.name}: {step.about}\n  {shlex.join(command)}")
        code = subprocess.run(
            [sys.executable if command[0] == "python" else command[0], *command[1:]],
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"},
            pass_fds=(lock,),
        ).returncode
        if code not in step.accepted_codes:
            records.log(step, f"failed with exit code {code}")
            typer.secho(f"Error: {step.name} failed with exit code {code}. Nothing behind it ran.", fg="red", err=True)
            raise typer.Exit(code if code > 0 else 128 - code)
        records.finish(step)


def _undone(states: Mapping[str, State]) -> list[str]:
    return [name for name, state in states.items() if state.name != "done"]


@contextmanager
def _alone_in(folder: Path) -> Iterator[int]:
    """Refuses a second run in a folder, also while a step goes on whose run was killed: it inherits the lock."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"Another run, or a step that it started, is at work in {folder}.") from None
        yield file.fileno()


if __name__ == "__main__":
    typer.run(main)
