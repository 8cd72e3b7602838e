"""`safe-llava data show`; `check` has a file of its own."""

from typing import Annotated

import typer

from .data_check import check
from .options import reported


data = typer.Typer(no_args_is_help=True, help="Look at safety data before training on it.")
data.command()(check)


@data.command()
def show(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="A public set; default: all, a line each.")
    ] = None,
) -> None:
    """
    Print the public sets that can be trained on by name, or one of them in YAML: where it is from, what it holds, what
    it cannot tell, and how its categories become ours. Save it, edit it and give it back as --label-map.
    """
    with reported():
        from safe_llava.data.sources import PUBLIC_SETS, describe

        if name is not None and name not in PUBLIC_SETS:
            raise ValueError(f"{name!r} is no public set; there are {', '.join(PUBLIC_SETS)}.")
        if name is not None:
            typer.echo(describe(PUBLIC_SETS[name]), nl=False)
            return
        for public_set in PUBLIC_SETS.values():
            typer.echo(f"{public_set.name:<15} {public_set.title}. {public_set.licence}. {public_set.cannot_tell}")
