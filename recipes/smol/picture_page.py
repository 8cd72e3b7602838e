"""
Shows a safety-aligned small LLaVA at work, on one page: transformers' pipeline, the guard, evidence and an audit.

    python -m recipes.smol.picture_page smol quickstart/model page

The scenes are those of the validation makers: the test makers stay unseen.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from datasets import Dataset
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from transformers import pipeline

from safe_llava.audit.run_audit import run_audit
from safe_llava.audit.sources import SourceSpec
from safe_llava.checkpoints import load_safe_llava
from safe_llava.evidence_overlay import draw_evidence
from safe_llava.files import atomic_path
from safe_llava.inference import encode_question
from safe_llava.smol.smol_world import smol_world


PAGE, SCENES, EVIDENCE, AUDIT = "index.html", "scenes", "evidence", "audit"
NEW_TOKENS = 48


def main(
    smol: Annotated[Path, typer.Argument(help="The folder that `python -m recipes.smol` filled.", file_okay=False)],
    model: Annotated[Path, typer.Argument(help="A SafeLLaVA trained from it.", file_okay=False)],
    output_dir: Annotated[Path, typer.Argument(help="Gets index.html and what it shows.", file_okay=False)],
    per_kind: Annotated[int, typer.Option(help="Scenes of each kind.", min=1)] = 2,
    seed: Annotated[int, typer.Option(help="Another one draws other scenes.")] = 0,
) -> None:
    """Ask, assess, explain and audit the same scenes."""
    world = smol_world(smol)
    scenes = choose_scenes(world.build_dataset("validation", 40 * per_kind, seed), [*world.showcase_kinds], per_kind)
    (output_dir / SCENES).mkdir(parents=True, exist_ok=True)
    (output_dir / EVIDENCE).mkdir(exist_ok=True)
    for row, scene in enumerate(scenes):
        scene["images"][0].save(output_dir / SCENES / f"{row:02d}.png")
    shown = show_scenes(model, scenes, output_dir)
    # Without their questions, as a folder of images is audited.
    audit = run_audit(SourceSpec(str(output_dir / SCENES)), str(model), output_dir / AUDIT)
    page = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    ).get_template("picture_page.html")
    text = page.render(model=model.name, scenes=shown, audit=audit.summary)
    with atomic_path(output_dir / PAGE) as partial:
        partial.write_text(text, encoding="utf-8")


def choose_scenes(dataset: Dataset, kinds: list[str], per_kind: int) -> list[dict[str, Any]]:
    """The first rows with one image of each kind, in the order of the kinds."""
    rows = [row for row in dataset if len(row["images"]) == 1]
    return [row for kind in kinds for row in [each for each in rows if each["kind"] == kind][:per_kind]]


def show_scenes(model: Path, scenes: list[dict[str, Any]], output_dir: Path) -> list[dict[str, Any]]:
    """What the page says of each scene. The chat and the guard are asked as a user would ask them."""
    chat = pipeline("image-text-to-text", model=str(model))
    guard = pipeline("safety-classification", model=str(model))
    explained, processor = load_safe_llava(str(model))
    shown = []
    for row, scene in enumerate(scenes):
        image, question = scene["images"][0], scene["messages"][-2]["content"]
        parts = [{"type": "image", "image": image}, {"type": "text", "text": question}]
        answer = chat(text=[{"role": "user", "content": parts}], max_new_tokens=NEW_TOKENS, return_full_text=False)
        inputs = encode_question(explained, processor, question, [image])
        verdict = explained.assess(**inputs, return_evidence=True)
        overlay = draw_evidence(verdict, [image], inputs["input_ids"], processor)
        overlay.save(output_dir / EVIDENCE / f"{row:02d}.png")
        shown.append(
            {
                "kind": scene["kind"],
                "question": question,
                "image": f"{SCENES}/{row:02d}.png",
                "evidence": f"{EVIDENCE}/{row:02d}.png",
                "answer": answer[0]["generated_text"],
                "guard": guard({"image": image, "text": question}),
            }
        )
    return shown


if __name__ == "__main__":
    typer.run(main)
