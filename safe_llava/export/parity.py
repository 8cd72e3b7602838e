"""Whether an exported guard decides as its model does, on drawn scenes from the image file to the decision."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import ProcessorMixin

from ..miniature.scene_dataset import build_dataset
from ..models.modeling_safe_llava import SafeLlavaForSafetyClassification
from ..models.onnx_guard import OnnxGuard
from ..models.onnx_pixels import to_pixel_values
from ..models.safety_labels import RISK_TYPES


BATCH_SIZE = 32
SAME_PIXELS = 1e-5
"""How far normalised values may lie apart: rounding."""


def compare(
    guard: SafeLlavaForSafetyClassification, processor: ProcessorMixin, folder: Path, num_scenes: int
) -> dict[str, Any]:
    """
    Assesses scenes with both, each by its own preprocessing.

    Args:
        guard ([`SafeLlavaForSafetyClassification`]): the guard that was exported.
        processor ([`SafeLlavaProcessor`]): its processor.
        folder (`Path`): the exported folder.
        num_scenes (`int`): scenes to draw; those without an image do not count.

    Returns:
        `dict[str, Any]`: `rows`; `alike`, those with the same action, level and types; `largest_difference` of any
        probability; and `flips`, each row that is decided otherwise, with the `margin` by which the model decided:
        how far the sum of probability / threshold is from 1, and the best level's logit from the second.
    """
    samples = [
        {"images": row["images"], "text": _question(row)}
        for row in build_dataset("test", num_scenes, stage="evaluation")
        if row["images"]
    ]
    exported = OnnxGuard(folder)
    flips, largest = [], 0.0
    for start in range(0, len(samples), BATCH_SIZE):
        batch = samples[start : start + BATCH_SIZE]
        for number, (own, other) in enumerate(zip(_assess(guard, processor, batch), exported(batch)), start):
            largest = max(largest, *(_distance(own[name], other[name]) for name in ("level_probs", "type_probs")))
            names = ("action", "level", "types")
            if any(list(own["decision"][name]) != list(other["decision"][name]) for name in names):
                by = {"model": own["decision"], "exported": other["decision"]}
                decisions = {who: {name: decision[name] for name in names} for who, decision in by.items()}
                flips.append({"row": number, **decisions, "margin": own["margin"]})
    return {"rows": len(samples), "alike": len(samples) - len(flips), "largest_difference": largest, "flips": flips}


def require_same_pixels(processor: ProcessorMixin, settings: dict[str, Any]) -> None:
    """
    Makes sure that what the exported guard makes of images is what the image processor makes of them.

    Raises:
        ValueError: if it is not, for images of any of several shapes.
    """
    drawn = np.random.default_rng(0)
    for width, height in ((40, 30), (31, 77), (640, 480), (9, 9), (1000, 300)):
        image = Image.fromarray(drawn.integers(0, 256, (height, width, 3), dtype=np.uint8))
        own = processor.image_processor(image, return_tensors="np")["pixel_values"][0]
        exported = to_pixel_values(image, settings)
        if own.shape != exported.shape or np.abs(own - exported).max() > SAME_PIXELS:
            raise ValueError(
                f"{type(processor.image_processor).__name__} does more to an image of {width} x {height} pixels than "
                "to resize, crop, rescale and normalise it, which is all that an exported guard does."
            )


def _question(row: dict[str, Any]) -> str:
    content = row["messages"][0]["content"]
    texts = [content] if isinstance(content, str) else [part["text"] for part in content if part["type"] == "text"]
    return "\n".join(filter(None, texts))


def _distance(own: dict[str, float], other: dict[str, float]) -> float:
    return max(abs(value - other[name]) for name, value in own.items())


def _assess(
    guard: SafeLlavaForSafetyClassification, processor: ProcessorMixin, samples: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """What the model finds, with the margins of its decisions."""
    chats = []
    for sample in samples:
        images = [{"type": "image", "image": image} for image in sample["images"]]
        chats.append([{"role": "user", "content": [*images, {"type": "text", "text": sample["text"]}]}])
    inputs = processor.apply_chat_template(
        chats,
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        processor_kwargs={"padding": True, "return_tensors": "pt"},
    )
    verdict = guard.assess(**inputs.to(torch.float32))
    policy: Any = guard.safety_policy
    thresholds = np.array(
        [policy.types[name]["threshold"] if policy.types[name]["enabled"] else np.inf for name in RISK_TYPES]
    )
    sums = (verdict.type_probs[:, : len(RISK_TYPES)].numpy() / thresholds).sum(axis=1)
    best = verdict.level_logits.topk(2, dim=-1).values
    return [
        {**row, "decision": vars(decision), "margin": {"sum": float(sum_) - 1, "level": float(first - second)}}
        for row, decision, sum_, (first, second) in zip(verdict.to_list(), guard.decide(verdict), sums, best)
    ]
