"""`safe-llava quickstart`."""

from pathlib import Path
from typing import Annotated

import typer

from .ask import print_answer
from .options import reported


def quickstart(
    output_dir: Annotated[Path, typer.Option(help="Gets metrics.json, showcase.png and the model.")] = Path(
        "quickstart"
    ),
    image: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A picture to ask the result about.")
    ] = None,
    question: Annotated[str, typer.Option(help="What to ask about --image.")] = "What is in the picture?",
    seed: Annotated[int, typer.Option(help="Seed of conversion and training.")] = 0,
) -> None:
    """The whole method on a miniature LLaVA and synthetic pictures, offline, in minutes on two CPU cores."""
    with reported():
        from safe_llava.checkpoints import load_safe_llava
        from safe_llava.inference import ask
        from safe_llava.models.image_reading import read_image
        from safe_llava.quickstart.steps import run_quickstart

        loaded = None if image is None else read_image(image).image
        run_quickstart(output_dir, seed)
        if loaded is not None:
            model, processor = load_safe_llava(output_dir / "model", device="cpu")
            typer.echo(f"\n{image}: {question}")
            print_answer(**ask(model, processor, question, [loaded]).to_dict())
            typer.echo("The miniature knows drawings of coloured shapes only; of a photograph it can say little.")
    typer.echo(f"\nLook at {output_dir / 'showcase.png'}. The figures are in {output_dir / 'metrics.json'}. Then:")
    typer.echo(f'  safe-llava ask {output_dir / "model"} --image PICTURE --question "What is in the picture?"')
    typer.echo(f"  safe-llava policy {output_dir / 'model'}")
    typer.echo("  safe-llava convert llava-hf/llava-1.5-7b-hf checkpoints/safe-llava-1.5-7b   # a real model")
