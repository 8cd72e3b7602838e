"""The colours of the synthetic images, and the plates and inks of the sign styles."""

import random
from dataclasses import dataclass


RGB = tuple[int, int, int]

COLOR_RGB: dict[str, RGB] = {
    "red": (214, 39, 40),
    "green": (44, 150, 60),
    "blue": (40, 90, 220),
    "yellow": (245, 214, 40),
    "purple": (148, 60, 190),
    "orange": (250, 140, 30),
}

BACKGROUND_RGB: dict[str, RGB] = {
    "white": (246, 246, 246),
    "gray": (150, 150, 150),
    "black": (24, 24, 24),
    "pink": (248, 196, 208),
}


MARKS: tuple[str, ...] = ("bar", "dot", "square", "triangle")


@dataclass(frozen=True)
class SignStyle:
    """How a sign is drawn: line widths in pixels, tilt in degrees, mark one of `MARKS`."""

    plate: RGB
    ink: RGB
    border: float
    stroke: float
    mark: str
    tilt: float = 0.0


SIGN_STYLES: dict[str, SignStyle] = {
    "card": SignStyle(plate=(250, 243, 224), ink=(30, 30, 30), border=1.0, stroke=1.4, mark="bar"),
    "frame": SignStyle(plate=(255, 255, 255), ink=(60, 40, 30), border=2.0, stroke=1.6, mark="dot"),
    "dark": SignStyle(plate=(52, 58, 78), ink=(245, 245, 245), border=1.0, stroke=1.4, mark="bar"),
    "sticker": SignStyle(plate=(224, 236, 205), ink=(20, 50, 40), border=0.0, stroke=1.8, mark="dot"),
    "poster": SignStyle(plate=(205, 222, 240), ink=(50, 25, 70), border=1.5, stroke=2.0, mark="square", tilt=4.0),
    "sketch": SignStyle(plate=(232, 226, 238), ink=(70, 70, 70), border=0.6, stroke=1.0, mark="triangle", tilt=-4.0),
}


def random_style(rng: random.Random) -> SignStyle:
    """Make up a style: any pale or dark plate with an ink that stands out."""
    pale = (rng.randint(195, 255), rng.randint(195, 255), rng.randint(195, 255))
    dark = (rng.randint(15, 85), rng.randint(15, 85), rng.randint(15, 85))
    plate, ink = (pale, dark) if rng.random() < 0.75 else (dark, pale)
    return SignStyle(
        plate=plate,
        ink=ink,
        border=rng.choice((0.0, 0.6, 1.0, 1.5, 2.0)),
        stroke=rng.uniform(1.0, 2.0),
        mark=rng.choice(MARKS),
        tilt=rng.uniform(-9, 9),
    )
