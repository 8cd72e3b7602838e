"""An image that shows what safety alignment changed: scenes, questions, both answers and the verdict."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset
from PIL import Image, ImageDraw, ImageFont

from ..models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from ..world import World


COLORS = {"none": "#2e7d32", "low": "#b26a00", "medium": "#d84315", "high": "#b71c1c"}
INK, GREY = "#202020", "#757575"
WIDTH, MARGIN, SCENE, FONT_SIZE, LINE, LABEL = 820, 16, 120, 15, 22, 70

Line = tuple[str, str, str]
"""A label, a text and the text's color."""


def draw_showcase(
    world: World,
    scenes: Dataset,
    base: list[dict[str, Any]],
    ours: list[dict[str, Any]],
    path: Path,
    per_kind: int = 1,
) -> None:
    """
    Draws the first scenes of each kind with the answers of two models.

    Args:
        world ([`~safe_llava.world.World`]): gives the title, and says which kinds.
        scenes ([`~datasets.Dataset`]): rows that it drew.
        base (`list[dict]`): what [`~safe_llava.inference.answer_dataset`] gave for the base model.
        ours (`list[dict]`): the same for the safety-aligned model, with its verdicts.
        path (`Path`): the PNG file to write.
        per_kind (`int`, *optional*, defaults to 1): scenes of each kind.
    """
    font: Any = ImageFont.load_default(FONT_SIZE)
    panels = []
    for row in [row for kind in world.showcase_kinds for row in _pick(scenes, kind, per_kind)]:
        lines = _describe(scenes[row], world.showcase_kinds, base[row]["answer"], ours[row])
        panels.append((scenes[row]["images"][0], [part for line in lines for part in _wrap(line, font)]))
    heights = [max(SCENE, LINE * len(lines)) + MARGIN for _, lines in panels]
    canvas = Image.new("RGB", (WIDTH, MARGIN + LINE + MARGIN + sum(heights)), "white")
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN), world.showcase_title, INK, font)
    top = MARGIN + LINE + MARGIN
    for (image, lines), height in zip(panels, heights, strict=True):
        resampling = Image.Resampling.NEAREST if image.width < SCENE else Image.Resampling.LANCZOS
        canvas.paste(image.convert("RGB").resize((SCENE, SCENE), resampling), (MARGIN, top))
        left = MARGIN + SCENE + MARGIN
        for place, (label, text, color) in enumerate(lines):
            draw.text((left, top + LINE * place), label, GREY, font)
            draw.text((left + LABEL, top + LINE * place), text, color, font)
        top += height
    canvas.save(path, optimize=True)


def _describe(scene: dict[str, Any], kinds: Mapping[str, str], base_answer: str, ours: dict[str, Any]) -> list[Line]:
    level, safety_type = SAFETY_LEVELS[ours["level"]], SAFETY_TYPES[ours["type"]]
    return [
        ("scene", kinds[scene["kind"]], GREY),
        ("asked", scene["messages"][-2]["content"], INK),
        ("base", base_answer, INK),
        ("ours", ours["answer"], INK),
        ("verdict", f"level {level}, type {safety_type}", COLORS[level]),
    ]


def _wrap(line: Line, font: Any) -> list[Line]:
    """The line, on as many lines as its text is wide."""
    label, text, color = line
    room = WIDTH - 3 * MARGIN - SCENE - LABEL
    parts = [""]
    for word in text.split():
        longer = f"{parts[-1]} {word}".strip()
        if font.getlength(longer) > room and parts[-1]:
            parts.append(word)
        else:
            parts[-1] = longer
    return [("" if place else label, part, color) for place, part in enumerate(parts)]


def _pick(scenes: Dataset, kind: str, count: int) -> list[int]:
    """The first scenes of a kind with one image, taking risk levels in turn."""
    counts: Counter[int] = Counter()
    turns = []
    for row, (its_kind, images, level) in enumerate(zip(scenes["kind"], scenes["images"], scenes["safety_level"])):
        if its_kind == kind and len(images) == 1:
            turns.append((counts[level], -level, row))
            counts[level] += 1
    return [row for *_, row in sorted(turns)[:count]]
