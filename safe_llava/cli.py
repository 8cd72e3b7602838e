"""The command line. Heavy imports stand inside the commands, so that `safe-llava --help` is quick."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import typer

from .version import __version__


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="LLaVA models that know which pictures are risky, and answer under your policy.",
)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="SafeLLaVA checkpoint: a folder or a Hub id.")]


class DType(str, Enum):
    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


class Projector(str, Enum):
    c_abstractor = "c_abstractor"
    mlp = "mlp"


class Pooling(str, Enum):
    question = "question"
    first = "first"


@contextmanager
def _reported() -> Iterator[None]:
    """Bad input and bad files end in one line and exit code 1, not in a traceback."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        typer.secho("Error: matplotlib is missing. Install it: pip install 'safe-llava[plot]'", fg="red", err=True)
        raise typer.Exit(1) from None
    except (OSError, ValueError) as error:
        typer.secho(f"Error: {error}", fg="red", err=True)
        raise typer.Exit(1) from None


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


@app.command()
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
    with _reported():
        from .ask import ask, load_safe_llava
        from .pictures import read_picture
        from .quickstart import run_quickstart

        picture = None if image is None else read_picture(image).image
        run_quickstart(output_dir, seed)
        if picture is not None:
            model, processor = load_safe_llava(output_dir / "model", device="cpu")
            typer.echo(f"\n{image}: {question}")
            _print_answer(**ask(model, processor, question, [picture]).to_dict())
            typer.echo("The miniature knows drawings of coloured shapes only; of a photograph it can say little.")
    typer.echo(f"\nLook at {output_dir / 'showcase.png'}. The figures are in {output_dir / 'metrics.json'}. Then:")
    typer.echo(f'  safe-llava ask {output_dir / "model"} --image PICTURE --question "What is in the picture?"')
    typer.echo(f"  safe-llava policy {output_dir / 'model'}")
    typer.echo("  safe-llava convert llava-hf/llava-1.5-7b-hf checkpoints/safe-llava-1.5-7b   # a real model")


@app.command()
def convert(
    source: Annotated[str, typer.Argument(help="LLaVA-1.5-style checkpoint: a folder or a Hub id.")],
    output: Annotated[Path, typer.Argument(help="Folder to write; new or empty.")],
    num_safety_tokens: Annotated[int, typer.Option(min=0, help="Safety tokens in each of the two sets.")] = 64,
    safety_projector_type: Annotated[Projector, typer.Option(help="Safety projector.")] = Projector.c_abstractor,
    num_safety_visual_tokens: Annotated[int, typer.Option(help="Visual tokens Q of the C-Abstractor.")] = 576,
    safety_head_pooling: Annotated[Pooling, typer.Option(help="Text query of the head.")] = Pooling.question,
    dtype: Annotated[DType, typer.Option(help="Cast all weights; auto keeps each as it is.")] = DType.auto,
    max_shard_size: Annotated[str, typer.Option(help="Largest weight file.")] = "2GB",
    chat_template: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Jinja file, in place of the source's template.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the new modules' weights.")] = 0,
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of a Hub source.")] = None,
) -> None:
    """Turn a LLaVA checkpoint into a SafeLLaVA checkpoint with untrained safety modules."""
    with _reported():
        import torch

        from .convert import convert_llava_checkpoint

        convert_llava_checkpoint(
            source,
            output,
            num_safety_tokens=num_safety_tokens,
            safety_projector_type=safety_projector_type.value,
            num_safety_visual_tokens=num_safety_visual_tokens,
            safety_head_pooling=safety_head_pooling.value,
            dtype=None if dtype is DType.auto else getattr(torch, dtype.value),
            max_shard_size=max_shard_size,
            chat_template=None if chat_template is None else chat_template.read_text(encoding="utf-8"),
            seed=seed,
            revision=revision,
        )
    typer.echo(f"Wrote {output}. Every stock weight is as it was; the safety modules are untrained.")
    typer.echo("Next, train stage 1: accelerate launch recipes/train.py --config recipes/llava-1.5-7b/stage1.yaml")


@app.command()
def ask(
    model: Model,
    question: Annotated[str, typer.Option(help="What to ask.")],
    image: Annotated[
        list[Path] | None, typer.Option(exists=True, dir_okay=False, help="A picture; may be given several times.")
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="JSON with the fields to change in the stored policy."),
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Picture to write: the places and words behind the verdict.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 256,
    device: Annotated[
        str | None, typer.Option(help="Such as cpu or cuda:0; the first accelerator by default.")
    ] = None,
    dtype: Annotated[DType, typer.Option(help="Weights' type; auto keeps the checkpoint's.")] = DType.auto,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask about pictures; print the answer, the verdict with its probabilities and what the policy did."""
    if evidence is not None and not image:
        raise typer.BadParameter("evidence is drawn on pictures: give at least one --image.", param_hint="--evidence")
    with _reported():
        from .ask import ask as ask_model
        from .ask import load_safe_llava
        from .pictures import read_picture
        from .safety_policy import SafetyPolicy

        pictures = [read_picture(path).image for path in image or []]
        if evidence is not None and evidence.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
            raise ValueError(f"The evidence is a picture, so {evidence} should end in .png, .jpg, .jpeg or .webp.")
        if policy is not None:
            SafetyPolicy.from_json_file(policy)
        loaded, processor = load_safe_llava(model, device, dtype.value)
        if policy is not None:
            stored = loaded.safety_policy or SafetyPolicy()
            changes = json.loads(policy.read_text(encoding="utf-8"))
            loaded.set_safety_policy(stored.updated(changes), processor)
        answer = ask_model(loaded, processor, question, pictures, evidence is not None, max_new_tokens=max_new_tokens)
        if evidence is not None and answer.evidence is not None:
            evidence.parent.mkdir(parents=True, exist_ok=True)
            answer.evidence.save(evidence)
    if as_json:
        typer.echo(json.dumps(answer.to_dict(), indent=2, ensure_ascii=False))
    else:
        _print_answer(**answer.to_dict())
        if evidence is not None:
            typer.echo(f"why      see {evidence}")


@app.command()
def calibrate(
    model: Model,
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="Labelled validation rows: JSON lines in the authors' format, a parquet file, a folder, a Hub id, or "
            "'miniature' for synthetic scenes.",
        ),
    ],
    output_dir: Annotated[
        Path, typer.Option(file_okay=False, help="Gets policy.json, calibration.json and report.html.")
    ],
    image_folder: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="Folder of the pictures that JSON lines name.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of a folder, a Hub dataset or the miniature.")] = "validation",
    target_over_refusal: Annotated[
        float | None,
        typer.Option(help="Largest share of harmless rows that the policy may flag; 0.01 if no target is given."),
    ] = None,
    target_recall: Annotated[
        float | None, typer.Option(help="Or: smallest share of the risky rows of each type that it must flag.")
    ] = None,
    min_examples: Annotated[int, typer.Option(min=2, help="Types with fewer rows keep their threshold.")] = 20,
    batch_size: Annotated[int, typer.Option(min=1, help="Rows judged at once.")] = 32,
    max_samples: Annotated[
        int | None, typer.Option(min=1, help="Take the first so many rows; 'miniature' draws so many.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="Such as cpu or cuda:0; the first accelerator by default.")
    ] = None,
    dtype: Annotated[DType, typer.Option(help="Weights' type; auto keeps the checkpoint's.")] = DType.auto,
    update_model: Annotated[bool, typer.Option(help="Write the policy into the config.json of a local model.")] = True,
) -> None:
    """Fit temperature and thresholds to labelled rows; write the policy and a page that shows what it does."""
    if target_over_refusal is not None and target_recall is not None:
        raise typer.BadParameter("Give --target-over-refusal or --target-recall, not both.")
    with _reported():
        from .calibration.run import run_calibration
        from .calibration.summary import print_calibration

        results = run_calibration(
            model,
            dataset,
            output_dir,
            image_folder=image_folder,
            split=split,
            target_over_refusal=target_over_refusal,
            target_recall=target_recall,
            min_examples=min_examples,
            batch_size=batch_size,
            max_samples=max_samples,
            device=device,
            dtype=dtype.value,
            update_model=update_model,
        )
        print_calibration(results, output_dir)


@app.command()
def policy(model: Model) -> None:
    """Print the safety policy that is stored with a model, as JSON. Edit it and pass it to `ask --policy`."""
    with _reported():
        from .ask import read_config

        stored = read_config(model).safety_policy
    typer.echo(json.dumps(stored, indent=2, ensure_ascii=False))


def _print_answer(answer: str, verdict: dict[str, Any] | None, decision: dict[str, Any] | None) -> None:
    if verdict is None:
        typer.echo("verdict  none: there was nothing to judge")
    else:
        typer.echo(f"verdict  {verdict['level']}, {verdict['type']}{'' if verdict['trusted'] else ' (not trusted)'}")
        for field in ("level_probs", "type_probs"):
            shares = ", ".join(f"{name} {share:.1%}" for name, share in verdict[field].items())
            typer.echo(f"         {field.removesuffix('_probs')}: {shares}")
    if decision is None or decision["action"] == "answer":
        typer.echo("policy   answered without a hint")
    else:
        verb = {"hint": "gave a hint", "refuse": "refused"}[decision["action"]]
        typer.echo(f"policy   {verb} for {', '.join(decision['types'])} at level {decision['level']}:")
        for text in decision["texts"]:
            typer.echo(f"         {text}")
    typer.echo(f"answer   {answer}")
