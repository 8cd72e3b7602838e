"""A page of HTML with examples: rows as they are and as they were attacked, with what the model said."""

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ...files import atomic_path
from ...models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from .attack import Attack
from .attack_figures import CLEAN
from .attack_reply import AttackReply
from .attack_row import AttackRow
from .attack_table import COLUMNS, NOTE, table_rows, title
from .outcome_log import Outcome


PAGE_FILE = "examples.html"
NUM_EXAMPLES = 3
"""Rows that the page shows."""
_IMAGES = "images"


def keep_example_images(output_dir: Path, attack: str, replies: Sequence[AttackReply]) -> None:
    """Keeps the images that an attack asked about, for the page."""
    for reply in replies:
        for number, image in enumerate(reply.row.images):
            path = _image_path(output_dir, attack, reply.row.key, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path)


def write_attack_page(
    output_dir: Path,
    results: Mapping[str, Any],
    attacks: Sequence[Attack],
    outcomes: Sequence[Outcome],
    rows: Sequence[AttackRow],
) -> None:
    """
    Writes the page. It needs no network, no other file and no script. All images are drawn by the world, which shows
    nothing harmful.

    Args:
        output_dir (`Path`): the run's folder, which holds the images.
        results (`Mapping`): of [`~safe_llava.evaluation.attacks.run_attacks.run_attacks`].
        attacks (`Sequence[Attack]`): those that were tried.
        outcomes (`Sequence[Outcome]`): what came of them.
        rows (`Sequence[AttackRow]`): the rows to show.
    """
    environment = Environment(
        loader=PackageLoader("safe_llava.evaluation.attacks", "."),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    about = {CLEAN: "the row as it is"} | {attack.name: attack.about for attack in attacks}
    of_row: dict[str, dict[str, Outcome]] = {}
    for outcome in outcomes:
        of_row.setdefault(outcome.row, {})[outcome.attack] = outcome
    page = environment.get_template("attack_page.html").render(
        title=title(results),
        note=NOTE,
        columns=COLUMNS,
        table=table_rows(results),
        rows=[
            {
                "question": row.question,
                "level": SAFETY_LEVELS[row.safety_level],
                "type": SAFETY_TYPES[row.safety_type],
                "tries": [
                    {"about": text, "images": _read_images(output_dir, name, row), "outcome": of_row[row.key][name]}
                    for name, text in about.items()
                    if name in of_row.get(row.key, {})
                ],
            }
            for row in rows
        ],
    )
    with atomic_path(output_dir / PAGE_FILE) as partial:
        partial.write_text(page, encoding="utf-8", errors="replace")


def _image_path(output_dir: Path, attack: str, key: str, number: int) -> Path:
    return output_dir / _IMAGES / attack.replace("/", "-") / f"{key}-{number}.png"


def _read_images(output_dir: Path, attack: str, row: AttackRow) -> list[str]:
    """The images of one try as base64; an attack may have made more of them than the row has."""
    images: list[str] = []
    while (path := _image_path(output_dir, attack, row.key, len(images))).is_file():
        images.append(base64.b64encode(path.read_bytes()).decode())
    return images
