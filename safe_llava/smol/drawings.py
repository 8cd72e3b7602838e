"""The drawings: which makers belong to which split, and what each drawing shows."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np
from datasets import Dataset, Image
from PIL import Image as PILImage

from .concepts import Concept, read_concepts


SPLIT_MAKERS: dict[str, tuple[str, ...]] = {
    "train": ("twemoji", "noto", "noto-v1", "fluent-emoji-flat"),
    "validation": ("emojione", "emojione-v1"),
    "test": ("openmoji", "fxemoji", "streamline-emojis"),
}
"""Who drew what a split shows. Nobody looked at drawings of the test makers but to label the risky ones."""

LEAST_OPAQUE = 128
LEAST_COLOR_SHARE = 0.45


@dataclass(frozen=True)
class Drawing:
    """
    One drawing.

    Args:
        maker (`str`): who drew it.
        concept ([`Concept`]): what it shows, which may be another thing than its emoji is called.
        code (`str`): its emoji.
        png (`bytes`): the image, RGBA.
    """

    maker: str
    concept: Concept
    code: str
    png: bytes = field(repr=False, hash=False, compare=False)

    @cached_property
    def image(self) -> PILImage.Image:
        """The image, decoded once, without the empty margin."""
        image = PILImage.open(BytesIO(self.png)).convert("RGBA")
        return image.crop(image.getchannel("A").getbbox())

    @cached_property
    def color(self) -> str | None:
        """The color of most of its opaque pixels, or None where no color has enough of them."""
        pixels = np.asarray(self.image).reshape(-1, 4)
        hsv = np.asarray(self.image.convert("RGB").convert("HSV")).reshape(-1, 3)[pixels[:, 3] > LEAST_OPAQUE]
        counts = Counter(color_names(hsv).tolist())
        name, count = max(counts.items(), key=lambda item: item[1])
        return name if count >= LEAST_COLOR_SHARE * counts.total() else None


def color_names(hsv: np.ndarray) -> np.ndarray:
    """Names the color of each pixel, given as hue, saturation and value from 0 to 255."""
    hue, saturation, value = (hsv[:, i].astype(int) for i in range(3))
    gray = saturation < 45
    dark_orange = (hue < 30) & (value < 185)
    choices = [
        (value < 50, "black"),
        (gray & (value > 215), "white"),
        (gray, "gray"),
        (((hue < 12) | (hue > 225)) & (saturation < 130) & (value > 180), "pink"),
        ((hue < 9) | (hue > 240), "red"),
        (dark_orange, "brown"),
        (hue < 27, "orange"),
        (hue < 45, "yellow"),
        (hue < 115, "green"),
        (hue < 180, "blue"),
        (hue < 218, "purple"),
    ]
    return np.select([mask for mask, _ in choices], [name for _, name in choices], "pink")


class Drawings:
    """
    The drawings of one split, by what they show.

    Args:
        table ([`~datasets.Dataset`], `str` or `Path`):
            Rows with `maker`, `concept` (the emoji's code) and `image`, or a parquet file of them.
        split (`str`): a key of `SPLIT_MAKERS`.

    Raises:
        ValueError: if the split is unknown or the table has no drawing of its makers.
    """

    def __init__(self, table: Dataset | str | Path, split: str):
        if split not in SPLIT_MAKERS:
            raise ValueError(f"No split {split!r}: splits are {sorted(SPLIT_MAKERS)}.")
        if not isinstance(table, Dataset):
            table = Dataset.from_parquet(str(table))
        concepts = read_concepts().concepts
        by_code = {code: concept for concept in concepts.values() for code in concept.codes}
        makers = table["maker"][:]
        rows = table.select([i for i, maker in enumerate(makers) if maker in SPLIT_MAKERS[split]])
        self.split = split
        self.by_name: dict[str, list[Drawing]] = defaultdict(list)
        for row in rows.cast_column("image", Image(decode=False)):
            concept = by_code.get(row["concept"])
            if concept is None:
                continue
            shown = concept.drawn_otherwise.get(row["maker"], concept.name)
            if shown is not None:
                drawing = Drawing(row["maker"], concepts[shown], row["concept"], row["image"]["bytes"])
                self.by_name[shown].append(drawing)
        if not self.by_name:
            raise ValueError(f"The table has no drawing by {', '.join(SPLIT_MAKERS[split])} that concepts.yaml names.")

    def __contains__(self, name: str) -> bool:
        return name in self.by_name
