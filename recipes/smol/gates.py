"""A gate is a figure that a step must reach before the next one builds on its result."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from safe_llava.files import write_json
from safe_llava.statistics import wilson_interval


GATE_MISSED = 3
"""Exit code of a step whose result is there, but below its gate."""
GATE_FILE = "gate.json"


def share(outcomes: Sequence[bool]) -> dict[str, Any]:
    """A share with its 95 % interval and its number of rows."""
    return {"value": sum(outcomes) / len(outcomes), "interval": wilson_interval(outcomes), "rows": len(outcomes)}


def close_gate(output_dir: Path, figures: Mapping[str, Any], missed: Sequence[str]) -> None:
    """
    Writes a step's figures beside its result, and removes the checkpoints that led to it.

    Args:
        output_dir (`Path`): the step's folder.
        figures (`Mapping`): what was measured.
        missed (`Sequence[str]`): what was to be reached and was not, in words.

    Raises:
        typer.Exit: with `GATE_MISSED` if anything was missed.
    """
    for checkpoint in output_dir.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    write_json(output_dir / GATE_FILE, {**figures, "missed": list(missed)})
    for each in missed:
        typer.secho(f"Gate missed: {each}", fg="red", err=True)
    if missed:
        raise typer.Exit(GATE_MISSED)
