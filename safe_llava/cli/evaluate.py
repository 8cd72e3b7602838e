"""`safe-llava evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from .options import Device, DType, PolicyChanges, read_policy_changes, reported


def evaluate(
    model: Annotated[str, typer.Option(help="SafeLLaVA checkpoint: a folder or a Hub id.")],
    base: Annotated[str, typer.Option(help="The LLaVA to compare with, asked the same questions.")],
    output_dir: Annotated[Path, typer.Option(file_okay=False, help="Gets results.json and the logs.")],
    suite: Annotated[
        list[str] | None,
        typer.Option(help="safety, over-refusal, utility or all, the default; may be given several times."),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=PATH",
            help="A benchmark and the folder that it was downloaded to, such as figstep=downloads/FigStep, or with a "
            "split figstep:tiny=downloads/FigStep; may be given several times.",
        ),
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(help="Language model that sees images, such as openai/gpt-4o. 'none': a smoke figure alone."),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Rows of each benchmark, drawn with the seed; first ones of a task."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    policy: PolicyChanges = None,
    task: Annotated[
        list[str] | None,
        typer.Option(help="Utility task of lmms-eval; may be given several times. Default: four."),
    ] = None,
    include_path: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder of lmms-eval task files of your own.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts in one batch.")] = 8,
    device: Device = None,
    dtype: Annotated[DType, typer.Option(help="Weights' type; auto keeps the checkpoint's.")] = DType.auto,
    card: Annotated[bool, typer.Option("--card", help="Put the figures into the card of a local model.")] = False,
) -> None:
    """Measure a model beside its base: safety, over-refusal, utility and cost. Run again, it goes on."""
    if card and not Path(model).is_dir():
        raise typer.BadParameter(f"--card writes into a local folder, and {model} is none.")
    if card and policy is not None:
        raise typer.BadParameter("--card describes the policy that is stored; leave --policy out.")
    with reported():
        from rich.console import Console

        from safe_llava.evaluation.benchmarks import BenchmarkSource
        from safe_llava.evaluation.evaluation_card import write_evaluation_card
        from safe_llava.evaluation.lmms.run_utility import TASKS
        from safe_llava.evaluation.result_table import rich_table
        from safe_llava.evaluation.run_evaluation import run_evaluation

        results = run_evaluation(
            suite or "all",
            model,
            base,
            output_dir,
            [BenchmarkSource.parse(text) for text in benchmark or ()],
            judge=judge,
            safety_policy=read_policy_changes(policy),
            limit=limit,
            seed=seed,
            batch_size=batch_size,
            device=device,
            dtype=dtype.value,
            utility_tasks=task or TASKS,
            include_path=include_path,
        )
        Console().print(rich_table(results))
        if card:
            typer.echo(f"The card is {write_evaluation_card(Path(model), results)}.")
    typer.echo(f"All figures: {output_dir / 'results.json'}. Every answer: inspect view --log-dir {output_dir}")
