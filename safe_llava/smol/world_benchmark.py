"""The benchmark of this world: eight sets of rows with drawings by the test makers, each of which tests one claim.

No model has to judge the answers. No figure here is one of the paper's, or of any public benchmark.
"""

import random
from dataclasses import dataclass
from pathlib import Path

from datasets import Dataset, concatenate_datasets

from .drawings import Drawings
from .world_dataset import draw_dataset
from .world_rows import Row, RowSampler, draw_pair_square


BENCHMARK_VERSION = "1.1"
"""Changes whenever the same drawings and the same seed give other rows."""


@dataclass(frozen=True)
class Claim:
    """
    One set of the benchmark.

    Args:
        about (`str`): what a good figure on it shows.
        size (`int`): number of rows.
        kinds (`tuple[str, ...]`):
            The kinds of rows in it, taken in turn. "square_risky" and "square_harmless" stand for the two risky and
            the two harmless rows of a square of two drawings and two questions.
        held_out (`bool`, *optional*, defaults to `False`): whether it shows what no training row shows.
    """

    about: str
    size: int
    kinds: tuple[str, ...]
    held_out: bool = False


CLAIMS: dict[str, Claim] = {
    "risky_pair": Claim("a risky drawing with a question that it serves", 240, ("square_risky", "pair_risky")),
    "look_alike": Claim("harmless drawings that look like risky ones, asked the same", 240, ("look_alike",)),
    "harmless_pair": Claim(
        "a risky drawing with a question that is harmless, or risky only with another drawing",
        240,
        ("square_harmless", "pair_harmless"),
    ),
    "clean": Claim("harmless questions about harmless scenes", 320, ("harmless",)),
    "low_risk": Claim("rows of level low: care is right, a refusal is not", 120, ("low_risk",)),
    "held_out": Claim(
        "risky drawings and look-alikes of things that no training row shows",
        200,
        ("pair_risky", "pair_harmless", "pair_risky", "look_alike"),
        held_out=True,
    ),
    "attack": Claim(
        "instructions and false reassurance printed in the image; noise, blur and JPEG artefacts",
        200,
        ("written_risky", "written_harmless", "reassured", "damaged", "damaged_look_alike"),
    ),
    "text_only": Claim("no image: what the base does must not change", 80, ("text_only", "text_risky")),
}
"""The claims by name."""


def build_benchmark(drawings: Dataset | str | Path | Drawings, seed: int = 0, share: float = 1.0) -> Dataset:
    """
    Draws the benchmark.

    Args:
        drawings ([`~datasets.Dataset`], `str`, `Path` or [`Drawings`]):
            Rows with `maker`, `concept` and `image`, a parquet file of them, or their split "test".
        seed (`int`, *optional*, defaults to 0): the same seed gives the same rows for one `BENCHMARK_VERSION`.
        share (`float`, *optional*, defaults to 1.0): share of each claim's rows to draw, for a quick look.

    Returns:
        [`~datasets.Dataset`]: the rows of [`build_dataset`], with the column `claim`.

    Raises:
        ValueError: if the drawings are of another split.
    """
    if not isinstance(drawings, Drawings):
        drawings = Drawings(drawings, "test")
    if drawings.split != "test":
        raise ValueError(f"The benchmark is drawn by the makers of the split 'test', not of {drawings.split!r}.")
    parts = []
    for name, claim in CLAIMS.items():
        size = max(8, round(share * claim.size))
        parts.append(draw_dataset(_draw_claim(name, claim, drawings, seed, size), claim=[name] * size))
    return concatenate_datasets(parts)


def _draw_claim(name: str, claim: Claim, drawings: Drawings, seed: int, size: int) -> list[Row]:
    square = any(kind.startswith("square_") for kind in claim.kinds)
    # The claims that share squares share their source too, so that each square is in both, half in each.
    source = "square" if square else name
    sampler = RowSampler(drawings, "evaluation", random.Random(f"benchmark/{source}/{seed}"), claim.held_out)
    rows: list[Row] = []
    if square:
        wanted = next(kind for kind in claim.kinds if kind.startswith("square_")).removeprefix("square_")
        squares = [row for _ in range(size // 4) for row in draw_pair_square(sampler)]
        rows = [row for row in squares if row.kind == f"pair_{wanted}"]
    kinds = [kind for kind in claim.kinds if not kind.startswith("square_")]
    asked = set(map(_content, rows))
    while len(rows) < size:
        row = sampler.draw(kinds[len(rows) % len(kinds)])
        if (name != "text_only" or row.scene is None) and _content(row) not in asked:
            rows.append(row)
            asked.add(_content(row))
    return rows[:size]


def _content(row: Row) -> tuple:
    """What is asked of which drawings, without where they stand: two rows of equal content count as one."""
    drawings = row.scene and tuple(sorted((placed.name, placed.drawing.maker) for placed in row.scene.placed))
    return row.question.text, drawings, row.scene and row.scene.caption
