"""What commands have in common: options, and how bad input is reported."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Annotated

import typer


Model = Annotated[str, typer.Argument(metavar="MODEL", help="SafeLLaVA checkpoint: a folder or a Hub id.")]
Device = Annotated[str | None, typer.Option(help="Such as cpu or cuda:0; the first accelerator by default.")]

_EXTRAS = {"fastapi": "review", "krippendorff": "review", "matplotlib": "plot", "nicegui": "review"}


class DType(str, Enum):
    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


@contextmanager
def reported() -> Iterator[None]:
    """Bad input and bad files end in one line and exit code 1, not in a traceback."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in _EXTRAS:
            raise
        wanted = f"pip install 'safe-llava[{_EXTRAS[error.name]}]'"
        typer.secho(f"Error: {error.name} is missing. Install it: {wanted}", fg="red", err=True)
        raise typer.Exit(1) from None
    except (OSError, ValueError) as error:
        typer.secho(f"Error: {error}", fg="red", err=True)
        raise typer.Exit(1) from None
