"""`safe-llava data`."""

import typer

from .data_check import check


data = typer.Typer(no_args_is_help=True, help="Look at data before a model is trained on it.")
data.command()(check)
