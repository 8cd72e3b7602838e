"""Parts of large scenes as a tower sees them, and what can be read in them."""

import math
import random

import torch
from PIL import Image

from safe_llava.miniature.drawing import IMAGE_SIZE
from safe_llava.models.safety_labels import SAFE_TYPE_ID

from ...miniature.tower import PICTOGRAMS, TARGETS
from .large_scenes import FULL_SIZE, TRAINING_KINDS, LargeScene, draw_large_scene


LEAST_AREA = 0.01
UNKNOWN = -100
_NAMES = list(TARGETS)
_PATCHES = 6
_ON_THE_SIGN = 0.7
_LEAST_EDGE = 10
_MOSTLY, _WHOLLY = 0.6, 0.95


def draw_any_size(rng: random.Random, kind: str) -> LargeScene:
    """A large scene with a sign of any size down to one percent: each factor between two sizes is as probable."""
    return draw_large_scene(rng, kind, LEAST_AREA * (FULL_SIZE / LEAST_AREA) ** rng.random())


def draw_first_views(number: int, seed: int) -> list[LargeScene]:
    """Parts of large scenes, one of each; of unknown level and type where less than most of a sign shows."""
    rng = random.Random(f"first {seed}")
    views = []
    for i in range(number):
        scene = draw_any_size(rng, TRAINING_KINDS[i % 4])
        image, _, seen = draw_view(scene, rng)
        if seen > _MOSTLY:
            views.append(scene._replace(image=image))
        else:
            level, risk_type = (UNKNOWN, UNKNOWN) if seen else (0, SAFE_TYPE_ID)
            views.append(LargeScene(image, "no_sign", 0.0, level, risk_type))
    return views


def draw_view(scene: LargeScene, rng: random.Random) -> tuple[Image.Image, torch.Tensor, float]:
    """
    A part of a large scene as a tower sees it; what each patch of it shows, of shape `(targets, patches)`: the sign
    and its marks where they can be read, and -100 for what is not asked; and the share of the sign that shows.
    """
    width, height = scene.image.size
    share = rng.choice((IMAGE_SIZE / max(width, height), 1.0, rng.uniform(0.4, 1.0)))
    window = [max(IMAGE_SIZE, round(share * extent)) for extent in (width, height)]
    start = [rng.randint(0, extent - size) for extent, size in zip((width, height), window, strict=True)]
    if scene.box and rng.random() < _ON_THE_SIGN:
        for i, extent in enumerate((width, height)):
            centre = round((scene.box[i] + scene.box[i + 2]) / 2)
            start[i] = rng.randint(max(0, centre - window[i]), min(extent - window[i], centre))
    image = scene.image.crop((start[0], start[1], start[0] + window[0], start[1] + window[1]))
    labels = torch.full((len(TARGETS), _PATCHES, _PATCHES), UNKNOWN)
    labels[_NAMES.index("caption")] = 0
    pictogram, marks = labels[_NAMES.index("pictogram")], labels[_NAMES.index("marks")]
    pictogram.fill_(0)
    seen = 0.0
    if scene.sign is None or scene.box is None:
        marks.fill_(0)
    else:
        spans = [
            (
                (scene.box[i] - start[i]) * IMAGE_SIZE / window[i],
                (scene.box[i + 2] - start[i]) * IMAGE_SIZE / window[i],
            )
            for i in (0, 1)
        ]
        seen = math.prod(max(0.0, min(far, IMAGE_SIZE) - max(near, 0.0)) / (far - near) for near, far in spans)
        is_legible = min(far - near for near, far in spans) >= _LEAST_EDGE
        columns, rows = (_centres_between(*span) for span in spans)
        name = 1 + PICTOGRAMS.index((scene.sign.safety_type, scene.sign.risky))
        pictogram[rows[:, None] & columns] = name if is_legible and seen > _MOSTLY else UNKNOWN
        if seen == 0.0 or (is_legible and seen > _WHOLLY):
            marks.fill_(scene.sign.marks if seen else 0)
    return image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC), labels.flatten(1), seen


def _centres_between(near: float, far: float) -> torch.Tensor:
    """Which patches of a line have their centre between two places."""
    centres = (torch.arange(_PATCHES) + 0.5) * (IMAGE_SIZE / _PATCHES)
    return (centres > near) & (centres < far)
