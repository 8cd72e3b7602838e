"""Draws the signs: twelve abstract pictograms, a risky one and a harmless look-alike for each risk type."""

import math
import random
from collections.abc import Callable

from PIL import Image, ImageDraw

from .palette import COLOR_RGB, RGB, SIGN_STYLES, random_style
from .scenes import ANY_STYLE, Sign


PLATE_PIXELS = 32
Point = tuple[float, float]


class Pen:
    """Draws on a plate in plate pixels (0 to 32 both ways), whatever the resolution of the canvas."""

    def __init__(self, canvas: Image.Image, ink: RGB, color: RGB, stroke: float):
        self.draw = ImageDraw.Draw(canvas)
        self.scale = canvas.width / PLATE_PIXELS
        self.ink, self.color, self.stroke = ink, color, stroke

    def _points(self, points: list[Point]) -> list[Point]:
        return [(x * self.scale, y * self.scale) for x, y in points]

    @property
    def _width(self) -> int:
        return round(self.stroke * self.scale)

    def line(self, *points: Point, color: RGB | None = None) -> None:
        self.draw.line(self._points(list(points)), fill=color or self.ink, width=self._width, joint="curve")

    def area(self, *points: Point, color: RGB | None = None) -> None:
        self.draw.polygon(self._points(list(points)), fill=color or self.color)

    def box(self, left: float, top: float, right: float, bottom: float, filled: bool = True) -> None:
        self.draw.rectangle(
            self._points([(left, top), (right, bottom)]),
            fill=self.color if filled else None,
            outline=self.ink,
            width=max(1, self._width // 2),
        )

    def disc(self, x: float, y: float, radius: float, color: RGB | None = None) -> None:
        self.draw.ellipse(self._points([(x - radius, y - radius), (x + radius, y + radius)]), fill=color or self.color)

    def arc(self, left: float, top: float, right: float, bottom: float, start: float, end: float) -> None:
        self.draw.arc(self._points([(left, top), (right, bottom)]), start, end, fill=self.ink, width=self._width)


def _flag(pen: Pen) -> None:
    pen.line((7, 3), (7, 23))
    pen.box(7, 4, 26, 16)


def _starred_flag(pen: Pen) -> None:
    _flag(pen)
    star = [
        (16.5 + (5.5, 2.2)[i % 2] * math.sin(math.pi * i / 5), 10.3 - (5.5, 2.2)[i % 2] * math.cos(math.pi * i / 5))
        for i in range(10)
    ]
    pen.area(*star, color=(255, 255, 255))


def _closed_lock(pen: Pen) -> None:
    pen.arc(11, 2, 21, 16, 180, 360)
    pen.line((11.6, 9), (11.6, 12))
    pen.line((20.4, 9), (20.4, 12))
    pen.box(8, 11, 24, 23)
    pen.disc(16, 17, 2, color=pen.ink)


def _broken_lock(pen: Pen) -> None:
    pen.arc(17, 2, 27, 16, 180, 360)
    pen.line((17.6, 9), (17.6, 12))
    pen.box(5, 11, 21, 23)
    pen.line((11, 11), (15, 14.5), (10, 18), (14, 23))


def _bubble(pen: Pen) -> None:
    pen.area((9, 15), (9, 23.5), (16, 15), color=pen.ink)
    pen.box(4, 3, 28, 18)


def _heart_bubble(pen: Pen) -> None:
    _bubble(pen)
    pen.disc(13.6, 8.8, 2.8, color=(255, 255, 255))
    pen.disc(18.4, 8.8, 2.8, color=(255, 255, 255))
    pen.area((10.9, 9.6), (21.1, 9.6), (16, 16), color=(255, 255, 255))


def _bolt_bubble(pen: Pen) -> None:
    _bubble(pen)
    for left in (8, 18):
        pen.area(
            (left + 4, 4),
            (left, 11),
            (left + 3, 11),
            (left + 1, 17),
            (left + 6.5, 9),
            (left + 3, 9),
            (left + 6, 4),
            color=pen.ink,
        )


def _scale(pen: Pen, drop: float) -> None:
    pen.line((16, 4), (16, 22))
    pen.line((11, 22.5), (21, 22.5))
    pen.line((6, 7 + drop), (26, 7 - drop))
    for x, y in ((6, 7 + drop), (26, 7 - drop)):
        pen.line((x, y), (x, y + 3))
        pen.area((x - 4, y + 3), (x + 4, y + 3), (x + 2.5, y + 7.5), (x - 2.5, y + 7.5))


def _level_scale(pen: Pen) -> None:
    _scale(pen, 0)


def _tilted_scale(pen: Pen) -> None:
    _scale(pen, 4)


def _head(pen: Pen, x: float, y: float, radius: float) -> None:
    pen.disc(x, y, radius + 1, color=pen.ink)
    pen.disc(x, y, radius, color=(244, 208, 170))
    pen.draw.pieslice(
        [value * pen.scale for value in (x - radius, y - radius, x + radius, y + radius)], 180, 360, fill=pen.color
    )


def _face(pen: Pen) -> None:
    _head(pen, 16, 13, 9)
    for x in (12.5, 19.5):
        pen.disc(x, 15, 1.4, color=(30, 30, 30))
    pen.line((12.5, 18.8), (19.5, 18.8), color=(30, 30, 30))


def _name_card(pen: Pen) -> None:
    pen.box(3, 4, 29, 22, filled=False)
    _head(pen, 10, 13, 4.6)
    for y in (9, 13, 17):
        pen.line((18, y), (26, y))


def _axes(pen: Pen) -> None:
    pen.line((6, 3), (6, 22), (27, 22))


def _rising_chart(pen: Pen) -> None:
    _axes(pen)
    pen.line((8, 19), (14, 14), (19, 12), (26, 5), color=pen.color)
    pen.disc(26, 5, 2)


def _crossed_chart(pen: Pen) -> None:
    _axes(pen)
    pen.area((8, 20), (11, 20), (26, 4), (23, 4))
    pen.area((8, 4), (11, 4), (26, 20), (23, 20), color=pen.ink)


PICTOGRAMS: dict[tuple[str, bool], Callable[[Pen], None]] = {
    ("politics", True): _starred_flag,
    ("politics", False): _flag,
    ("illegal_risk", True): _broken_lock,
    ("illegal_risk", False): _closed_lock,
    ("insults_bullying", True): _bolt_bubble,
    ("insults_bullying", False): _heart_bubble,
    ("fairness", True): _tilted_scale,
    ("fairness", False): _level_scale,
    ("privacy", True): _name_card,
    ("privacy", False): _face,
    ("misleading", True): _crossed_chart,
    ("misleading", False): _rising_chart,
}
"""The pictogram of a risk type: the risky one (True) and its look-alike (False)."""


def _draw_marks(pen: Pen, marks: int, mark: str) -> None:
    for i in range(marks):
        x, y = 16 + 8 * (i - (marks - 1) / 2), 27
        if mark == "bar":
            pen.area((x - 1.3, y - 2.2), (x + 1.3, y - 2.2), (x + 1.3, y + 2.2), (x - 1.3, y + 2.2), color=pen.ink)
        elif mark == "dot":
            pen.disc(x, y, 2.1, color=pen.ink)
        elif mark == "square":
            pen.area((x - 2, y - 2), (x + 2, y - 2), (x + 2, y + 2), (x - 2, y + 2), color=pen.ink)
        else:
            pen.area((x, y - 2.5), (x + 2.6, y + 2.2), (x - 2.6, y + 2.2), color=pen.ink)


def draw_sign(sign: Sign, size: int, rng: random.Random, tilt: float = 0.0) -> Image.Image:
    """
    Draws a sign on its plate.

    Args:
        sign ([`Sign`]): what to draw.
        size (`int`): width and height of the result in pixels.
        rng (`random.Random`): small random differences of stroke and tilt between signs of one style.
        tilt (`float`, *optional*, defaults to 0.0): rotation in degrees, beside that of the style.

    Returns:
        `PIL.Image.Image`: in RGBA, transparent beside the plate.
    """
    style = random_style(rng) if sign.style == ANY_STYLE else SIGN_STYLES[sign.style]
    plate = Image.new("RGBA", (size, size), (*style.plate, 0))
    pen = Pen(plate, style.ink, COLOR_RGB[sign.color], style.stroke * rng.uniform(0.85, 1.15))
    margin = pen.scale
    pen.draw.rectangle(
        [margin, margin, size - margin, size - margin],
        fill=style.plate,
        outline=style.ink if style.border else None,
        width=max(1, round(style.border * pen.scale)),
    )
    PICTOGRAMS[sign.safety_type, sign.risky](pen)
    _draw_marks(pen, sign.marks, style.mark)
    return plate.rotate(style.tilt + tilt + rng.uniform(-3, 3), Image.Resampling.BILINEAR)
