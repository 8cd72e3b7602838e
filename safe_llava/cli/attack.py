"""`safe-llava attack`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from .options import Device, DType, Model, PolicyChanges, read_policy_changes, reported


def attack(
    model: Model,
    output_dir: Annotated[
        Path, typer.Option(file_okay=False, help="Gets results.json, outcomes.jsonl and examples.html.")
    ],
    suite: Annotated[
        list[str] | None,
        typer.Option(
            help="icet, typographic, image, spread, text, pixels, border, together or all, the default; repeatable."
        ),
    ] = None,
    rows: Annotated[int, typer.Option(min=1, help="Risky rows to attack, drawn with the seed.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the rows, and of what attacks draw.")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Steps of each descent on the pixels.")] = 40,
    restarts: Annotated[int, typer.Option(min=1, help="Random starts of each descent.")] = 2,
    world: Annotated[Literal["miniature", "smol"], typer.Option(help="What draws the rows.")] = "miniature",
    from_: Annotated[
        Path | None,
        typer.Option("--from", exists=True, file_okay=False, help="Folder in which --world smol is built."),
    ] = None,
    policy: PolicyChanges = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows in one batch.")] = 16,
    device: Device = None,
    dtype: Annotated[DType, typer.Option(help="Weights' type; auto keeps the checkpoint's.")] = DType.auto,
    card: Annotated[bool, typer.Option("--card", help="Put the figures into the card of a local model.")] = False,
) -> None:
    """Attack a model in every way that is known here: what breaks it, at what cost. Run again, it goes on."""
    if (world == "smol") != (from_ is not None):
        raise typer.BadParameter(
            "--from names the folder of --world smol, and of no other world. Give both or neither."
        )
    if card and not Path(model).is_dir():
        raise typer.BadParameter(f"--card writes into a local folder, and {model} is none.")
    if card and policy is not None:
        raise typer.BadParameter("--card describes the policy that is stored; leave --policy out.")
    with reported():
        from rich.console import Console

        from safe_llava.evaluation.attacks.attack_table import rich_table, write_attack_card
        from safe_llava.evaluation.attacks.run_attacks import run_attacks
        from safe_llava.miniature.miniature_world import MINIATURE_WORLD
        from safe_llava.smol.smol_world import smol_world

        results = run_attacks(
            model,
            output_dir,
            MINIATURE_WORLD if from_ is None else smol_world(from_),
            suite or ["all"],
            num_rows=rows,
            seed=seed,
            steps=steps,
            restarts=restarts,
            safety_policy=read_policy_changes(policy),
            batch_size=batch_size,
            device=device,
            dtype=dtype.value,
        )
        Console().print(rich_table(results))
        if card:
            typer.echo(f"The card is {write_attack_card(Path(model), results)}.")
    typer.echo(f"All figures: {output_dir / 'results.json'}. Look at {output_dir / 'examples.html'}.")
