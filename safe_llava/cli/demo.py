"""`safe-llava demo`."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, DType, Model, PolicyChanges, reported, require_free


def demo(
    model: Model,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 0.0.0.0 for all.", show_default="127.0.0.1")
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the page.", show_default="7860")] = None,
    policy: PolicyChanges = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 256,
    space: Annotated[
        Path | None, typer.Option(file_okay=False, help="Write a Hub Space of the page into this folder, and end.")
    ] = None,
    device: Device = None,
    dtype: Annotated[DType, typer.Option(help="Weights' type; auto keeps the checkpoint's.")] = DType.auto,
) -> None:
    """Open a page to chat about images: verdict, policy and evidence beside every answer. Stop with Ctrl+C."""
    here = {"--host": host, "--port": port, "--device": device}
    if space is not None and (idle := [name for name, value in here.items() if value is not None]):
        raise typer.BadParameter(f"{', '.join(idle)} has no effect on a Space; leave it out.", param_hint="--space")
    with reported("demo"):
        if space is not None:
            from safe_llava.demo.space import write_space

            write_space(model, space, policy=policy, max_new_tokens=max_new_tokens, dtype=dtype.value)
            typer.echo(f"{space} is a Space. Try it: python {space / 'app.py'}")
            typer.echo("Publish it: hf repos create ORG/NAME --type space --space-sdk docker")
            typer.echo(f"            hf upload ORG/NAME {space} --type space")
            return
        host, port = host or "127.0.0.1", port or 7860
        require_free(port, host)
        from safe_llava.demo.run_demo import run_demo

        run_demo(
            model,
            policy=policy,
            host=host,
            port=port,
            max_new_tokens=max_new_tokens,
            device=device,
            dtype=dtype.value,
            say=typer.echo,
        )
