"""A page of scenes with what is asked and answered about them, for eyes."""

import argparse
import textwrap

from datasets import Dataset
from PIL import Image, ImageDraw, ImageFont

from ..models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from .composition import IMAGE_SIZE
from .drawings import SPLIT_MAKERS
from .world_dataset import build_dataset
from .world_mixes import MIXES


TEXT_HEIGHT = 112
TEXT_LINES = 8
MARGIN = 6


def draw_contact_sheet(dataset: Dataset, columns: int = 8) -> Image.Image:
    """
    Draws rows side by side, those with a risk in red.

    Args:
        dataset ([`~datasets.Dataset`]): rows of [`~safe_llava.smol.world_dataset.build_dataset`].
        columns (`int`, *optional*, defaults to 8): rows of the data set in a line.
    """
    lines = -(-len(dataset) // columns)
    sheet = Image.new("RGB", (columns * (IMAGE_SIZE + MARGIN), lines * (IMAGE_SIZE + TEXT_HEIGHT)), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for index, row in enumerate(dataset):
        left, top = (index % columns) * (IMAGE_SIZE + MARGIN), (index // columns) * (IMAGE_SIZE + TEXT_HEIGHT)
        if row["images"]:
            sheet.paste(row["images"][0], (left, top))
        question, answer = row["messages"]
        label = f"{row['kind']}: {SAFETY_LEVELS[row['safety_level']]}, {SAFETY_TYPES[row['safety_type']]}"
        told = (label, f"Q: {question['content']}", f"A: {answer['content']}")
        text = [line for words in told for line in textwrap.wrap(words, 36)]
        ink = "darkred" if row["safety_level"] else "black"
        draw.text((left + 2, top + IMAGE_SIZE + 2), "\n".join(text[:TEXT_LINES]), fill=ink, font=font)
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("drawings", help="parquet file of the drawings")
    parser.add_argument("output", help="image to write")
    parser.add_argument("--split", choices=sorted(SPLIT_MAKERS), default="train")
    parser.add_argument("--stage", choices=sorted(MIXES), default="stage2")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    dataset = build_dataset(given.drawings, given.split, given.rows, given.seed, given.stage)
    draw_contact_sheet(dataset).save(given.output)


if __name__ == "__main__":
    main()
