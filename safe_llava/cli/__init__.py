"""
The command line, a file for each command.

Installed, this folder is a package of its own, `safe_llava_cli`, for `safe_llava` takes seconds to import. So commands
import `safe_llava` by its whole name, and only once typer has accepted the arguments.
"""

import importlib.metadata
from typing import Annotated

import typer

from .ask import ask
from .attack import attack
from .audit import audit
from .calibrate import calibrate
from .convert import convert
from .data import data
from .demo import demo
from .evaluate import evaluate
from .export import export
from .policy import policy
from .quickstart import quickstart
from .review import review
from .serve import serve


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="LLaVA models that know which images are risky, and answer under your policy.",
)
for command in (quickstart, convert, ask, calibrate, evaluate, attack, policy, audit, serve, demo, export):
    app.command()(command)
app.add_typer(data, name="data")
app.add_typer(review, name="review")


def _print_version(wanted: bool) -> None:
    if not wanted:
        return
    try:
        version = importlib.metadata.version("safe-llava")
    except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
        from safe_llava.version import __version__ as version
    typer.echo(version)
    raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass
