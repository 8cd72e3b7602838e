"""The check of a data set as one page of HTML that holds everything it shows, with samples to look at."""

import base64
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from jinja2 import Environment, PackageLoader, StrictUndefined

from ..files import atomic_path
from .common_columns import SOURCE
from .dataset_check import DatasetCheck
from .encoded_images import keep_images_encoded
from .label_words import label_words
from .row_texts import answer_of, asked_in
from .thumbnails import make_thumbnail


NUM_SAMPLES = 10
_IMAGES_SHOWN = 4
_MAX_CHARACTERS = 800
"""Of longer texts the page shows that many."""


def write_check_page(path: Path, check: DatasetCheck, title: str, seed: int = 0) -> None:
    """
    Writes the page. It needs no network, no other file and no script.

    Args:
        path (`Path`): the HTML file.
        check ([`DatasetCheck`]): what was found.
        title (`str`): the set or the recipe that was checked.
        seed (`int`, *optional*, defaults to 0): another one shows other samples.
    """
    environment = Environment(
        loader=PackageLoader("safe_llava.data", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters["count"] = lambda number: f"{number:,}"
    dataset = None if check.dataset is None else keep_images_encoded(check.dataset)
    page = environment.get_template("check_page.html").render(
        title=title,
        check=check,
        levels=check.count("safety_level"),
        types=check.count("safety_type"),
        faults=[report for report in check.report.faults if report.bad_rows],
        samples=[] if dataset is None else [_describe(dataset, row) for row in choose_samples(dataset, seed)],
    )
    with atomic_path(path) as partial:
        partial.write_text(page, encoding="utf-8", errors="replace")


def choose_samples(dataset: Dataset, seed: int = 0) -> list[int]:
    """
    Positions of up to `NUM_SAMPLES` rows, at random: first one of each level and type, then any.

    Args:
        dataset ([`~datasets.Dataset`]): rows with labels.
        seed (`int`, *optional*, defaults to 0): another one gives other rows.
    """
    columns = dataset.select_columns([name for name in dataset.column_names if "image" not in name])
    order = np.random.default_rng(seed).permutation(len(dataset)).tolist()
    words = [label_words(row) for row in columns]
    first: dict[tuple[str, str], int] = {}
    for row in order:
        first.setdefault(words[row], row)
    return list(dict.fromkeys([*first.values(), *order]))[:NUM_SAMPLES]


def _describe(dataset: Dataset, number: int) -> dict[str, Any]:
    row = dataset[number]
    images = row["images"] or []
    return {
        "number": number + 1,
        "source": row.get(SOURCE),
        "images": [base64.b64encode(make_thumbnail(image)).decode() for image in images[:_IMAGES_SHOWN]],
        "num_images": len(images),
        "labels": ", ".join(label_words(row)),
        "question": _shorten(asked_in(row)),
        "answer": _shorten(answer_of(row)),
    }


def _shorten(text: str) -> str:
    return text if len(text) <= _MAX_CHARACTERS else f"{text[:_MAX_CHARACTERS].rstrip()}…"
