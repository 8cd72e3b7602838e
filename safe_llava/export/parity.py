"""Whether an exported guard decides as its model does, on drawn scenes from the image file to the decision."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..guards.assessing_guard import AssessingGuard
from ..guards.torch_guard import TorchGuard
from ..miniature.scene_dataset import build_dataset
from ..models.array_verdict import ArrayVerdict, softmax
from ..models.onnx_guard import OnnxGuard
from ..models.onnx_pixels import to_pixel_values
from ..models.safety_labels import RISK_TYPES
from ..models.safety_policy import SafetyPolicy


BATCH_SIZE = 32
SAME_PIXELS = 1e-5
"""How far normalised values may lie apart: rounding."""


def compare(guard: TorchGuard, folder: Path, num_scenes: int) -> dict[str, Any]:
    """
    Assesses scenes with both, each by its own preprocessing.

    Args:
        guard ([`TorchGuard`]): the guard that was exported.
        folder (`Path`): the exported folder.
        num_scenes (`int`): scenes to draw; those without an image do not count.

    Returns:
        `dict[str, Any]`: `rows`; `alike`, those with the same action, level and types; `largest_difference` of any
        probability; and `flips`, each row that is decided otherwise, with the `margin` by which the model decided:
        how far the sum of probability / threshold is from 1, and the best level's logit from the second.
    """
    samples = [
        (row["images"], _question(row))
        for row in build_dataset("test", num_scenes, stage="evaluation")
        if row["images"]
    ]
    exported = OnnxGuard(folder)
    policy = exported.policy
    flips, largest = [], 0.0
    for start in range(0, len(samples), BATCH_SIZE):
        batch = samples[start : start + BATCH_SIZE]
        own, other = (_assess(each, batch, policy) for each in (guard, exported))
        for name in ("level_logits", "type_logits"):
            distance = softmax(getattr(own, name)) - softmax(getattr(other, name))
            largest = max(largest, float(np.abs(distance).max()))
        margins = _margins(own, policy)
        for row, (first, second) in enumerate(zip(own.decide(policy), other.decide(policy))):
            fields = ("action", "level", "types")
            by = {"model": first, "exported": second}
            decisions = {who: {name: getattr(decision, name) for name in fields} for who, decision in by.items()}
            if decisions["model"] != decisions["exported"]:
                flips.append({"row": start + row, **decisions, "margin": margins[row]})
    return {"rows": len(samples), "alike": len(samples) - len(flips), "largest_difference": largest, "flips": flips}


def require_same_pixels(guard: TorchGuard, settings: dict[str, Any]) -> None:
    """
    Makes sure that what the exported guard makes of images is what the image processor makes of them; where it cuts
    them, what it makes the base tile.

    Args:
        guard ([`TorchGuard`]): has the image processor.
        settings (`dict`): what the exported guard knows of it.

    Raises:
        ValueError: if it is not, for images of any of several shapes, alone or with another one.
    """
    drawn = np.random.default_rng(0)
    for width, height in ((40, 30), (31, 77), (640, 480), (9, 9), (1000, 300)):
        image = Image.fromarray(drawn.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for images in ([image], [image, image.rotate(90, expand=True)]):
            own = guard.encode_images(images)["pixel_values"].numpy()
            own = own[:, 0] if own.ndim == 5 else own
            exported = np.stack([to_pixel_values(each, settings, len(images) == 1) for each in images])
            if own.shape != exported.shape or np.abs(own - exported).max() > SAME_PIXELS:
                beside = " beside another one" if len(images) > 1 else ""
                raise ValueError(
                    f"{type(guard.processor.image_processor).__name__} does more to an image of {width} x {height} "
                    f"pixels{beside} than to resize, crop, rescale and normalise it, which is all that an exported "
                    "guard does."
                )


def _question(row: dict[str, Any]) -> str:
    content = row["messages"][0]["content"]
    texts = [content] if isinstance(content, str) else [part["text"] for part in content if part["type"] == "text"]
    return "\n".join(filter(None, texts))


def _assess(guard: AssessingGuard, samples: list[tuple[list[Any], str]], policy: SafetyPolicy) -> ArrayVerdict:
    chats = []
    for images, text in samples:
        parts: list[dict[str, Any]] = [{"type": "image"}] * len(images)
        chats.append([{"role": "user", "content": [*parts, {"type": "text", "text": text}]}])
    pixels = [guard.encode_images([image.convert("RGB") for image in images]) for images, _ in samples]
    return guard.assess(guard.encode(guard.render(chats), pixels)).with_temperature(**policy.temperature)


def _margins(verdict: ArrayVerdict, policy: SafetyPolicy) -> list[dict[str, float]]:
    rules = (policy.types[name] for name in RISK_TYPES)
    thresholds = np.array([rule["threshold"] if rule["enabled"] else np.inf for rule in rules])
    sums = (softmax(verdict.type_logits)[:, : len(RISK_TYPES)] / thresholds).sum(axis=1) - 1
    levels = np.sort(verdict.level_logits, axis=1)
    return [{"sum": float(sum_), "level": float(gap)} for sum_, gap in zip(sums, levels[:, -1] - levels[:, -2])]
