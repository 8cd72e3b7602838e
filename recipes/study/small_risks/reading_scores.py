"""What a guard finds in large images, and what it costs to read them."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from PIL import Image
from tqdm import tqdm

from safe_llava.models.image_crops import add_crops
from safe_llava.models.safety_policy import SafetyPolicy

from .contenders import Contender
from .large_scenes import draw_test_scenes


POLICY = SafetyPolicy()
_BATCH = 50
_TIMED_IMAGES = 20
_ROUNDS = 5


def score_reading(contender: Contender, crops: int | None, test_rows: int) -> dict[str, float]:
    """
    The share of each group of test scenes that the default policy acts on.

    Args:
        contender ([`Contender`]): a trained guard.
        crops (`int`, *optional*): overlapping crops a side that it reads beside each image.
        test_rows (`int`): scenes of each group.
    """
    shares = {}
    for (kind, area), scenes in tqdm(draw_test_scenes(test_rows).items(), desc="test", leave=False):
        name = "harmless, no sign" if kind == "no_sign" else f"{kind.replace('_', '-')}, {100 * area:g} %"
        shares[name] = sum(_acts(contender, [scene.image for scene in scenes], crops)) / len(scenes)
    return shares


def measure_costs(readings: dict[str, tuple[Contender, int | None]]) -> dict[str, dict[str, float]]:
    """
    For each reading the tiles that the tower sees of an image, and processor seconds from an image to its verdict: the
    least of some rounds, in each of which every reading has its turn, so that what else the machine does meets all.

    Args:
        readings (`dict[str, tuple[Contender, int | None]]`): guards, each with its crops a side.
    """
    groups = draw_test_scenes(-(-_TIMED_IMAGES // 11)).values()
    images = [scene.image for scenes in groups for scene in scenes][:_TIMED_IMAGES]
    seconds: dict[str, float] = dict.fromkeys(readings, float("inf"))
    tiles: dict[str, float] = {}
    for _ in range(_ROUNDS):
        for name, (contender, crops) in readings.items():
            seen: list[int] = []
            hook = contender.model.model.vision_tower.register_forward_pre_hook(
                lambda module, inputs, seen=seen: seen.append(len(inputs[0]))
            )
            started = time.process_time()
            list(_acts(contender, images, crops))
            seconds[name] = min(seconds[name], (time.process_time() - started) / len(images))
            hook.remove()
            tiles[name] = sum(seen) / len(images)
    return {name: {"tiles": tiles[name], "seconds": seconds[name]} for name in readings}


def _acts(contender: Contender, images: Sequence[Image.Image], crops: int | None) -> Iterator[bool]:
    """Whether the default policy hints or refuses, for each image."""
    for start in range(0, len(images), _BATCH):
        rows: list[list[Any]] = [
            add_crops([image], crops, cuts_images=False) for image in images[start : start + _BATCH]
        ]
        with torch.inference_mode():
            verdict = contender.model.assess(**contender.encode(rows), safety_policy=POLICY)
        yield from (decision.action != "answer" for decision in contender.model.decide(verdict, POLICY))
