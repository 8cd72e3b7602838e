"""
One border for every image: a frame, trained on other rows to make the model answer, which anybody can then put around
any image. It covers the image's edge, and the pixels in it may be anything.
"""

from collections.abc import Sequence
from functools import cache

import torch

from .adaptive_loss import AdaptiveLoss
from .attack import Attack
from .attack_reply import AttackReply
from .attack_row import AttackRow
from .attack_target import AttackTarget
from .pixel_space import LARGEST, PixelSpace


SUITE = "border"
WIDTH = 12
"""The frame is one part in so many of the image's smaller side wide."""
_REACH = 2.5


def universal_border_attack(target: AttackTarget, training_rows: Sequence[AttackRow], steps: int) -> Attack:
    """
    Args:
        target ([`AttackTarget`]): the model that the border is trained against.
        training_rows (`Sequence[AttackRow]`): rows to train the border on, none of which is attacked.
        steps (`int`): steps of the training, each on one batch.
    """

    @cache
    def find_border() -> torch.Tensor:
        return train_border(target, training_rows, steps)

    def attempt(target: AttackTarget, rows: Sequence[AttackRow]) -> list[AttackReply]:
        space = PixelSpace(target, rows)
        return target.ask(space.to_rows(frame(space.pixels, find_border())))

    about = f"one border around every image, trained on {len(training_rows)} other rows in {steps} steps"
    return Attack("border", SUITE, about, attempt)


def train_border(target: AttackTarget, rows: Sequence[AttackRow], steps: int) -> torch.Tensor:
    """The border after so many sign steps from gray, as an image of pixels from 0 to 255."""
    batches = [rows[start : start + target.batch_size] for start in range(0, len(rows), target.batch_size)]
    spaces = [PixelSpace(target, batch) for batch in batches]
    losses = [AdaptiveLoss(target, space.rows, space.inputs) for space in spaces]
    border = torch.full_like(spaces[0].pixels[0], LARGEST / 2)
    for step in range(steps):
        border.requires_grad_(True)
        space, loss = spaces[step % len(spaces)], losses[step % len(spaces)]
        total = loss(space.normalise(frame(space.pixels, border))).sum()
        (gradient,) = torch.autograd.grad(total, border)
        # All the way at first, and less and less: the sign alone would go to and fro.
        size = _REACH * LARGEST / steps * (1 - step / steps)
        border = (border.detach() - size * gradient.sign()).clamp(0, LARGEST)
    return border.round()


def frame(pixels: torch.Tensor, border: torch.Tensor) -> torch.Tensor:
    """Images with the border over their edges."""
    height, width = pixels.shape[-2:]
    thickness = max(1, min(height, width) // WIDTH)
    is_inside = torch.zeros(height, width, dtype=torch.bool, device=pixels.device)
    is_inside[thickness : height - thickness, thickness : width - thickness] = True
    return torch.where(is_inside, pixels, border)
