"""
Projected gradient descent on the pixels (arXiv 1706.06083), at most so far from the image in any of them: random
starts, projection to valid images, the best image so far asked at intervals, as an image of 8 bits.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import torch

from .adaptive_loss import AdaptiveLoss
from .attack import Attack
from .attack_reply import AttackReply, keep_worse
from .attack_row import AttackRow
from .attack_target import AttackTarget
from .image_changes import ImageChange, change_images, store_as_jpeg
from .pixel_space import LARGEST, PixelSpace


SUITE = "pixels"
EPSILONS = (4, 8, 16)
EXPECTED_EPSILON = 8
CHECKS = 4
"""So often in each run the best image so far is asked."""
_REACH = 2.5
"""All steps together could cross the allowed range about that often."""
_DRAWS, _NOISE_STD = 3, 6.0
"""Of an expectation over what may happen to the pixels on their way."""


def projected_gradient_attacks(steps: int, restarts: int) -> list[Attack]:
    """
    An attack for each of `EPSILONS`, with so many steps from each of so many random starts, and one whose images are
    stored as JPEG before the model gets them.
    """
    attacks = [
        Attack(
            f"pgd/{epsilon}",
            SUITE,
            f"pixels changed by at most {epsilon} of 255, in {restarts} x {steps} steps against all outputs at once",
            _descend_from(epsilon, steps, restarts),
        )
        for epsilon in EPSILONS
    ]
    about = f"by at most {EXPECTED_EPSILON} of 255, in expectation over noise, and stored as JPEG before it is asked"
    expected = _descend_from(EXPECTED_EPSILON, steps, restarts, store_as_jpeg)
    return [*attacks, Attack(f"pgd_jpeg/{EXPECTED_EPSILON}", SUITE, about, expected)]


def _descend_from(epsilon: int, steps: int, restarts: int, passage: ImageChange | None = None):
    def attempt(target: AttackTarget, rows: Sequence[AttackRow]) -> list[AttackReply]:
        return attack_pixels(target, rows, epsilon, steps, restarts, passage)

    return attempt


def attack_pixels(
    target: AttackTarget,
    rows: Sequence[AttackRow],
    epsilon: int,
    steps: int,
    restarts: int,
    passage: ImageChange | None = None,
) -> list[AttackReply]:
    """
    Attacks the images of rows, each row by itself.

    Args:
        target ([`AttackTarget`]): the model.
        rows (`Sequence[AttackRow]`): what is asked.
        epsilon (`int`): largest change of a pixel, of 255.
        steps (`int`): steps from each start.
        restarts (`int`): random starts; a row that is beaten takes no further one.
        passage (`Callable`, *optional*):
            What happens to an image before the model gets it. The loss is then an expectation over noise.

    Returns:
        `list[AttackReply]`: for each row what its tries came to, with the steps taken until then.
    """
    replies: list[AttackReply] = []
    for start in range(0, len(rows), target.batch_size):
        batch = list(rows[start : start + target.batch_size])
        tries: list[list[AttackReply]] = [[] for _ in batch]
        for restart in range(restarts):
            left = [place for place, tried in enumerate(tries) if not any(reply.is_beaten for reply in tried)]
            if left:
                found = _descend(target, [batch[place] for place in left], epsilon, steps, restart, passage)
                for place, tried in zip(left, found):
                    tries[place] += tried
        for tried in tries:
            kept = keep_worse(tried)
            # What did not break cost all steps.
            replies.append(kept if kept.unsafe else replace(kept, steps=tried[-1].steps))
    return replies


def _descend(
    target: AttackTarget, rows: list[AttackRow], epsilon: int, steps: int, restart: int, passage: ImageChange | None
) -> list[list[AttackReply]]:
    """One start: the replies of each row, up to the one that beats it."""
    space = PixelSpace(target, rows)
    loss = AdaptiveLoss(target, rows, space.inputs)
    lowest, highest = (space.pixels - epsilon).clamp(min=0), (space.pixels + epsilon).clamp(max=LARGEST)
    pixels = lowest + (highest - lowest) * _random_start(space, target.seed, restart)
    best, best_loss = pixels.clone(), torch.full((len(rows),), torch.inf, device=pixels.device)
    noise = torch.Generator().manual_seed(target.seed)
    tried: list[list[AttackReply]] = [[] for _ in rows]
    left = list(range(len(rows)))
    checks = {round(steps * (number + 1) / CHECKS) for number in range(CHECKS)}
    for step in range(steps + 1):
        losses, gradient = _differentiate(loss, space, pixels, None if passage is None else noise)
        with torch.no_grad():
            is_better = losses.to(best_loss) < best_loss
            best_loss = torch.where(is_better, losses.to(best_loss), best_loss)
            best = torch.where(is_better[space.image_rows].view(-1, 1, 1, 1), pixels, best)
            stepped = pixels - _REACH * epsilon / steps * gradient.sign()
            pixels = torch.minimum(torch.maximum(stepped, lowest), highest)
        if step not in checks:
            continue
        asked = space.to_rows(best)
        replies = target.ask(asked if passage is None else [change_images(passage)(row) for row in asked])
        for place, reply in zip(left, replies):
            tried[place].append(replace(reply, epsilon=epsilon, steps=restart * steps + step))
        held = [place for place, reply in enumerate(replies) if not reply.is_beaten]
        if not held:
            break
        if len(held) < len(left):
            images = space.select(held)
            pixels, best, lowest, highest = (values[images] for values in (pixels, best, lowest, highest))
            best_loss, left = best_loss[held], [left[place] for place in held]
            space = PixelSpace(target, [space.rows[place] for place in held])
            loss = AdaptiveLoss(target, space.rows, space.inputs)
    return tried


def _differentiate(
    loss: AdaptiveLoss, space: PixelSpace, pixels: torch.Tensor, noise: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of each row and its gradient on the pixels, as they are or as means over noisy copies."""
    pixels = pixels.detach().requires_grad_(True)
    if noise is None:
        losses = loss(space.normalise(pixels))
        return losses.detach(), torch.autograd.grad(losses.sum(), pixels)[0]
    found = []
    for _ in range(_DRAWS):
        drawn = _NOISE_STD * torch.randn(pixels.shape, generator=noise).to(pixels)
        losses = loss(space.normalise((pixels + drawn).clamp(0, LARGEST)))
        # One draw's graph at a time: a tower's feature maps fill a machine.
        found.append((losses.detach(), torch.autograd.grad(losses.sum(), pixels)[0]))
    losses, gradients = (torch.stack(each).mean(dim=0) for each in zip(*found))
    return losses, gradients


def _random_start(space: PixelSpace, seed: int, restart: int) -> torch.Tensor:
    """Uniform in [0, 1), of each row the same whatever rows stand beside it."""
    drawn = []
    for row in space.rows:
        digest = hashlib.sha256(f"{row.key}/{seed}/{restart}".encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        drawn += [torch.rand(space.pixels.shape[1:], generator=generator) for _ in row.images]
    return torch.stack(drawn).to(space.pixels)
