"""A tower that reads signs of any size at any place, as CLIP does: the miniature's has only seen them on its grid."""

import copy
import random

import torch
from transformers import CLIPVisionModel, set_seed

from ...miniature.tower import patch_labels, render, sample_scenes, train_tower
from .large_scenes import KINDS
from .scene_views import draw_any_size, draw_view


VIEWS = 4
"""Parts of one large scene that are looked at."""


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
        scene = draw_any_size(rng, rng.choice(KINDS))
        views = [draw_view(scene, rng) for _ in range(VIEWS)]
        pixels.append(image_processor([image for image, _, _ in views], return_tensors="pt")["pixel_values"])
        labels += [view for _, view, _ in views]
    known = sample_scenes("pretrain", scenes, seed, any_look=0.6)
    pixels.append(render(known, image_processor))
    labels += [patch_labels(scene) for scene in known]
    set_seed(seed)
    taught = copy.deepcopy(tower).requires_grad_()
    train_tower(taught, torch.cat(pixels), torch.stack(labels), steps, 128, 1e-3)
    return taught
