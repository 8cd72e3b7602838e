"""
Builds a small real LLaVA from packages of others, and goes on where it was.

    python -m recipes.smol --output-dir smol --dry-run
"""

import shlex
from pathlib import Path
from typing import Annotated, Literal

import typer

from safe_llava.cli.options import reported

from ..steps.run_steps import alone_in, check_names, run_steps, undone
from ..steps.step_records import StepRecords
from .build_steps import build_steps
from .fetch_packages import read_packages


def main(
    output_dir: Annotated[Path, typer.Option(help="Gets what each step makes, and results.json.")] = Path("smol"),
    size: Annotated[Literal["full", "tiny"], typer.Option(help="tiny takes minutes and shows that it runs.")] = "full",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print packages, licences and steps.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(metavar="STEP", help="Run this step alone, again if it is done.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="STEP", help="Run this step and all behind it again.")
    ] = None,
    past_missed_gates: Annotated[
        bool, typer.Option("--past-missed-gates", help="Go on with a result that is below its gate.")
    ] = False,
) -> None:
    """Fetch, align the text, train the tower, assemble, teach it to talk about scenes."""
    if sum(map(bool, (dry_run, only, from_))) > 1:
        raise typer.BadParameter("--dry-run, --only and --from exclude each other.")
    with reported():
        steps = build_steps(output_dir, size, past_missed_gates or size == "tiny")
        check_names(steps, (*(only or ()), *([from_] if from_ else ())))
        records = StepRecords(output_dir)
        if dry_run:
            for package in read_packages():
                typer.echo(f"{package.name} {package.version}, {package.licence}: {package.what}")
            for step, state in zip(steps, records.states(steps).values()):
                typer.echo(f"{step.name} ({state}): {step.about}\n  {shlex.join(step.command)}")
            return
        with alone_in(output_dir) as lock:
            run_steps(steps, records, lock, only or (), from_)
        if not undone(records.states(steps)):
            typer.echo(
                f"The base LLaVA is in {output_dir / 'base'}; what it reached, in {output_dir / 'results.json'}."
            )


if __name__ == "__main__":
    typer.run(main)
