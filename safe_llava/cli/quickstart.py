"""`safe-llava quickstart`."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from .ask import print_answer
from .options import reported


def quickstart(
    output_dir: Annotated[
        Path, typer.Option(file_okay=False, help="Gets metrics.json, showcase.png, two example images and the model.")
    ] = Path("quickstart"),
    image: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="An image to ask the result about.")
    ] = None,
    question: Annotated[str, typer.Option(help="What to ask about --image.")] = "What is in the picture?",
    seed: Annotated[int, typer.Option(help="Seed of conversion and training.")] = 0,
) -> None:
    """The whole method on a miniature LLaVA and synthetic images, offline, in minutes on two CPU cores."""
    # Read when torch is loaded. Threads that spin while they wait take the cores from the programs beside.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with reported():
        from safe_llava.checkpoints import load_safe_llava
        from safe_llava.inference import ask
        from safe_llava.models.image_reading import read_image
        from safe_llava.quickstart.steps import LOG, run_quickstart

        loaded = None if image is None else read_image(image).image
        run_quickstart(output_dir, seed)
        if loaded is not None:
            model, processor = load_safe_llava(output_dir / "model", device="cpu")
            typer.echo(f"\n{image}: {question}")
            print_answer(**ask(model, processor, question, [loaded]).to_dict())
            typer.echo("The miniature knows drawings of coloured shapes only; of a photograph it can say little.")
    typer.echo(f"\nLook at {output_dir / 'showcase.png'}. All figures: {output_dir / 'metrics.json'}. ", nl=False)
    typer.echo(f"Library messages: {output_dir / LOG}. Next, ask the model yourself:")
    arguments = ["ask", output_dir / "model", "--image", output_dir / "image.png", "--question", "Who is this?"]
    typer.echo("  " + " ".join([*_program(), shlex.join(map(str, arguments))]))


def _program() -> list[str]:
    """How the user would start this program again."""
    script = sys.argv[0]
    if Path(script).name != "safe-llava":
        return [shlex.quote(sys.executable), "-m safe_llava"]
    found = shutil.which("safe-llava")
    return ["safe-llava" if found and Path(found).samefile(script) else shlex.quote(script)]
