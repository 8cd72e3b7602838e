"""A tower that reads signs of any size at any place, as CLIP does: the miniature's has only seen them on its grid."""

import copy
import math
import random

import torch
from PIL import Image
from transformers import CLIPVisionModel, set_seed

from safe_llava.miniature.drawing import IMAGE_SIZE

from ...miniature.tower import PICTOGRAMS, TARGETS, patch_labels, render, sample_scenes, train_tower
from .large_scenes import FULL_SIZE, KINDS, LargeScene, draw_large_scene


LEAST_AREA = 0.01
VIEWS = 4
"""Parts of one large scene that are looked at."""
_NAMES = list(TARGETS)
_PATCHES = 6
_UNKNOWN = -100
_ON_THE_SIGN = 0.7
_LEAST_EDGE = 10
_MOSTLY, _WHOLLY = 0.6, 0.95


def teach_tower(tower: CLIPVisionModel, image_processor, scenes: int, steps: int, seed: int) -> CLIPVisionModel:
    """
    Trains a copy of the miniature's tower on, with a label for each patch, as it was trained before.

    Args:
        tower (`CLIPVisionModel`): the miniature's.
        image_processor (`CLIPImageProcessorPil`): the miniature's.
        scenes (`int`): large scenes to look at in parts, and scenes of the miniature, so that nothing is unlearned.
        steps (`int`): of 128 images.
        seed (`int`): of scenes and steps.
    """
    rng = random.Random(f"tower {seed}")
    pixels, labels = [], []
    for _ in range(scenes):
        area = LEAST_AREA * (FULL_SIZE / LEAST_AREA) ** rng.random()
        scene = draw_large_scene(rng, rng.choice(KINDS), area)
        views = [draw_view(scene, rng) for _ in range(VIEWS)]
        pixels.append(image_processor([image for image, _ in views], return_tensors="pt")["pixel_values"])
        labels += [view for _, view in views]
    known = sample_scenes("pretrain", scenes, seed, any_look=0.6)
    pixels.append(render(known, image_processor))
    labels += [patch_labels(scene) for scene in known]
    set_seed(seed)
    taught = copy.deepcopy(tower)
    train_tower(taught, torch.cat(pixels), torch.stack(labels), steps, 128, 2e-3)
    return taught


def draw_view(scene: LargeScene, rng: random.Random) -> tuple[Image.Image, torch.Tensor]:
    """
    A part of a large scene as a tower sees it, and what each patch of it shows, of shape `(targets, patches)`: the
    sign and its marks where they can be read, and -100 for what is not asked.
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
    labels = torch.full((len(TARGETS), _PATCHES, _PATCHES), _UNKNOWN)
    labels[_NAMES.index("caption")] = 0
    pictogram, marks = labels[_NAMES.index("pictogram")], labels[_NAMES.index("marks")]
    pictogram.fill_(0)
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
        pictogram[rows[:, None] & columns] = name if is_legible and seen > _MOSTLY else _UNKNOWN
        if seen == 0.0 or (is_legible and seen > _WHOLLY):
            marks.fill_(scene.sign.marks if seen else 0)
    return image.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC), labels.flatten(1)


def _centres_between(near: float, far: float) -> torch.Tensor:
    """Which patches of a line have their centre between two places."""
    centres = (torch.arange(_PATCHES) + 0.5) * (IMAGE_SIZE / _PATCHES)
    return (centres > near) & (centres < far)
