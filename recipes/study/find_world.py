"""Which world a command of the study means."""

from pathlib import Path

import typer

from .miniature_study import MINIATURE_STUDY
from .smol_study import smol_study
from .study_world import StudyWorld


def find_world(name: str, base: Path | None) -> StudyWorld:
    """
    Args:
        name (`str`): "miniature" or "smol".
        base (`Path`, *optional*): the folder of "smol".

    Raises:
        typer.BadParameter: if they do not go together, or the folder holds no base.
    """
    if (name == "smol") != (base is not None):
        raise typer.BadParameter(
            "--base names the folder of --world smol, and of no other world. Give both or neither."
        )
    try:
        return MINIATURE_STUDY if base is None else smol_study(base)
    except FileNotFoundError as error:
        raise typer.BadParameter(str(error)) from None
