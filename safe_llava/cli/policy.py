"""`safe-llava policy`."""

import json

import typer

from .options import Model, reported


def policy(model: Model) -> None:
    """Print the safety policy that is stored with a model, as JSON. Edit it and pass it to `ask --policy`."""
    with reported():
        from safe_llava.checkpoints import read_config

        stored = read_config(model).safety_policy
    typer.echo(json.dumps(stored, indent=2, ensure_ascii=False))
