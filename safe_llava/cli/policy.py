"""`safe-llava policy`."""

import typer

from .options import Model, reported


def policy(model: Model) -> None:
    """Print the safety policy that is stored with a model, as JSON. Edit it and pass it to `ask --policy`."""
    with reported():
        from safe_llava.checkpoints import read_config
        from safe_llava.models.safety_policy import SafetyPolicy

        stored = read_config(model).safety_policy
        text = "null" if stored is None else SafetyPolicy.from_dict(stored).to_json_string()
    typer.echo(text)
