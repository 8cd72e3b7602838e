"""
One risky image among many clean ones: how often a verdict on all at once finds it, and how often the gravest of the
verdicts on each alone. And what the latter costs in false alarms, on as many clean images.

    python -m recipes.miniature.many_images MODEL [--tries 40]
"""

import random

import torch
import typer
from PIL import Image

from safe_llava.checkpoints import load_safe_llava
from safe_llava.inference import encode_question
from safe_llava.miniature.scene_dataset import build_dataset
from safe_llava.models.modeling_safe_llava import SafeLlavaForConditionalGeneration
from safe_llava.models.processing_safe_llava import SafeLlavaProcessor
from safe_llava.models.safety_verdict import SafetyVerdict


NUM_IMAGES = (1, 5, 20, 60, 150, 300)


def find_risk(
    model: SafeLlavaForConditionalGeneration, processor: SafeLlavaProcessor, question: str, images: list[Image.Image]
) -> tuple[bool, bool]:
    """Whether the policy acts on all images at once, and on the gravest assessment."""
    verdict = model.assess(**encode_question(model, processor, question, images))
    whole = verdict
    if verdict.separate is not None:
        logits = verdict.separate.level_logits[:1], verdict.separate.type_logits[:1]
        whole = SafetyVerdict(*logits, has_image=verdict.has_image, trusted=verdict.trusted)
    at_once, gravest = (model.decide(found)[0].action != "answer" for found in (whole, verdict))
    return at_once, gravest


def main(model: str, tries: int = 40, seed: int = 0) -> None:
    loaded, processor = load_safe_llava(model)
    rows = build_dataset("test", 60 * tries, seed)
    single = [row for row in rows if len(row["images"]) == 1 and len(row["messages"]) == 2]
    risky = [row for row in single if row["kind"] == "risky"][:tries]
    clean = [row["images"][0] for row in single if row["kind"] == "harmless"]
    rng = random.Random(seed)
    typer.echo("images  risky found at once  by the gravest  clean flagged at once  by the gravest")
    for number in NUM_IMAGES:
        found = torch.zeros(4)
        for row in risky:
            question, others = row["messages"][0]["content"], rng.choices(clean, k=number)
            place = rng.randrange(number)
            with_risk = [*others[:place], row["images"][0], *others[place + 1 :]]
            found += torch.tensor(
                [*find_risk(loaded, processor, question, with_risk), *find_risk(loaded, processor, question, others)]
            )
        typer.echo(f"{number:6}  " + "  ".join(f"{int(count)} of {len(risky)}" for count in found))


if __name__ == "__main__":
    typer.run(main)
