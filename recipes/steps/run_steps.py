"""Runs steps one after the other, each only where it is not done."""

import fcntl
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import typer

from .step_records import State, Step, StepRecords


def check_names(steps: Sequence[Step], names: Sequence[str]) -> None:
    """Refuses the name of a step that there is not."""
    known = [step.name for step in steps]
    for name in names:
        if name not in known:
            raise ValueError(f"There is no step {name!r}; there are {', '.join(known)}.")


def run_steps(
    steps: Sequence[Step],
    records: StepRecords,
    lock: int,
    only: Sequence[str] = (),
    first: str | None = None,
    find_missing: Callable[[Sequence[str]], Sequence[str]] = lambda names: (),
) -> None:
    """
    Runs what is not done yet.

    Args:
        steps (`Sequence[Step]`): all steps, in their order.
        records ([`StepRecords`]): what is known of them.
        lock (`int`): file descriptor that a step inherits, from [`alone_in`].
        only (`Sequence[str]`, *optional*): run these alone, also where they are done.
        first (`str`, *optional*): run this one and all behind it, also where they are done.
        find_missing (`Callable`, *optional*): tells what the named steps need and is not there.

    Raises:
        ValueError: if something is missing, or if a step is asked for whose inputs are not done.
        typer.Exit: if a step fails.
    """
    names = [step.name for step in steps]
    wanted = only or names[names.index(first) :] if first else only or names
    again = wanted if only or first else []
    states = records.states(steps)
    if first and (not_done := [name for name in names[: names.index(first)] if states[name].name != "done"]):
        raise ValueError(f"{first} comes behind {not_done[0]}, which is not done ({states[not_done[0]]}).")
    if missing := find_missing(again or undone(states)):
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
        _run(step, records, lock)


def _run(step: Step, records: StepRecords, lock: int) -> None:
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


def undone(states: Mapping[str, State]) -> list[str]:
    """Names of the steps that have to run."""
    return [name for name, state in states.items() if state.name != "done"]


@contextmanager
def alone_in(folder: Path) -> Iterator[int]:
    """Refuses a second run in a folder, also while a step goes on whose run was killed: it inherits the lock."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ValueError(f"Another run, or a step that it started, is at work in {folder}.") from None
        yield file.fileno()
