"""How a scene is drawn beyond what it shows: size and tilt of the sign, texture and clutter behind, damage on top.

The "seen" look is the only one that safety training has. "any" is what the base learned to see with, as a real vision
tower has seen all kinds of images before anybody taught it safety; "unseen" lies within it.
"""

import random
from dataclasses import dataclass


TEXTURES: tuple[str, ...] = ("plain", "stripes", "gradient")
CORRUPTIONS: tuple[str, ...] = ("noise", "blur", "jpeg")


@dataclass(frozen=True)
class Look:
    """
    How a scene is drawn.

    Args:
        sign_scale (`float`, *optional*, defaults to 1.0): width of the sign's plate as a share of its 2 x 2 cells.
        sign_tilt (`float`, *optional*, defaults to 0.0): rotation of the sign in degrees, beside that of its style.
        texture (`str`, *optional*, defaults to `"plain"`): what the background looks like, one of `TEXTURES`.
        clutter (`int`, *optional*, defaults to 0): number of small strokes strewn over the background.
        corruption (`str`, *optional*): damage to the finished image, one of `CORRUPTIONS`.
    """

    sign_scale: float = 1.0
    sign_tilt: float = 0.0
    texture: str = "plain"
    clutter: int = 0
    corruption: str | None = None


SEEN = Look()


def sample_look(rng: random.Random, kind: str) -> Look:
    """Draw a look: "seen", "unseen" (never seen by safety training) or "any"."""
    if kind == "seen":
        return SEEN
    if kind == "unseen":
        return Look(
            sign_scale=rng.uniform(0.92, 0.98),
            sign_tilt=rng.choice((-1, 1)) * rng.uniform(3, 8),
            texture=rng.choice(TEXTURES[1:]),
            clutter=rng.randint(3, 8),
        )
    return Look(
        sign_scale=rng.uniform(0.8, 1.0),
        sign_tilt=rng.uniform(-18, 18),
        texture=rng.choice(TEXTURES),
        clutter=rng.randint(0, 10),
        corruption=rng.choice(CORRUPTIONS) if rng.random() < 0.25 else None,
    )
