"""`safe-llava ask`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Device, DType, Model, PolicyChanges, read_policy_changes, reported


def ask(
    model: Model,
    question: Annotated[str, typer.Option(help="What to ask.")],
    image: Annotated[
        list[Path] | None, typer.Option(exists=True, dir_okay=False, help="An image; may be given several times.")
    ] = None,
    policy: PolicyChanges = None,
    evidence: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Image to write: the places and words behind the verdict.")
    ] = None,
    max_new_tokens: Annotated[int, typer.Option(min=1, help="Longest answer, in tokens.")] = 256,
    device: Device = None,
    dtype: Annotated[DType, typer.Option(help="Weights' type; auto keeps the checkpoint's.")] = DType.auto,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Ask about images; print the answer, the verdict with its probabilities and what the policy did."""
    if evidence is not None and not image:
        raise typer.BadParameter("evidence is drawn on images: give at least one --image.", param_hint="--evidence")
    with reported():
        if evidence is not None and evidence.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp"):
            raise ValueError(f"The evidence is an image, so {evidence} should end in .png, .jpg, .jpeg or .webp.")

        from safe_llava.checkpoints import load_safe_llava
        from safe_llava.inference import ask as ask_model
        from safe_llava.models.image_reading import read_image
        from safe_llava.models.safety_policy import SafetyPolicy

        images = [read_image(path).image for path in image or []]
        changes = read_policy_changes(policy)
        loaded, processor = load_safe_llava(model, device, dtype.value)
        if changes is not None:
            stored = loaded.safety_policy or SafetyPolicy()
            loaded.set_safety_policy(stored.updated(changes), processor)
        answer = ask_model(loaded, processor, question, images, evidence is not None, max_new_tokens=max_new_tokens)
        if evidence is not None and answer.evidence is not None:
            evidence.parent.mkdir(parents=True, exist_ok=True)
            answer.evidence.save(evidence)
    if as_json:
        typer.echo(json.dumps(answer.to_dict(), indent=2, ensure_ascii=False))
    else:
        print_answer(**answer.to_dict())
        if evidence is not None:
            typer.echo(f"why      see {evidence}")


def print_answer(answer: str, verdict: dict[str, Any] | None, decision: dict[str, Any] | None) -> None:
    if verdict is None:
        typer.echo("verdict  none: there was nothing to assess")
    else:
        trust = "" if verdict["trusted"] else f" (not trusted: {verdict['distrust']})"
        typer.echo(f"verdict  {verdict['level']}, {verdict['type']}{trust}")
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
