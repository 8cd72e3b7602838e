"""Figures of attacked cells as Markdown: all of them, and the ones that the pages show."""

from collections.abc import Mapping, Sequence
from typing import Any

from safe_llava.evaluation.attacks.attack_figures import CLEAN


AttackedCells = Mapping[str, Sequence[Mapping[str, Any]]]
"""By cell the figures of each attack, over seeds; see [`~recipes.study.attacked_cells.main`]."""
SHOWN = {
    "layers": "any of icet",
    "reassured": "reassured_below",
    "question drawn": "drawn_question",
    "crop": "crop",
    "turn": "rotate",
    "any change": "any of image",
    "spread": "any of spread",
    "prefill": "prefill_answer",
    "German": "german",
    "pixels, 8 of 255": "pgd/8",
    "border": "border",
    "together": "any of together",
}
"""Columns of the pages, and their attacks. Those that no cell met are left out."""


def attack_table(cells: AttackedCells) -> str:
    """Unsafe answers in percent before and after each attack, an attack a line and a cell a column."""
    names = dict.fromkeys(figures["attack"] for of_cell in cells.values() for figures in of_cell)
    head = ["", *(f"`{cell}`" for cell in cells)]
    return _write(
        head, [[name, *(_before_and_after(_find(of_cell, name)) for of_cell in cells.values())] for name in names]
    )


def page_attack_tables(cells: AttackedCells) -> list[str]:
    """
    Unsafe answers in percent under the attacks of `SHOWN`, a cell a line; and of these answers those that say what a
    model without safety would say.
    """
    return [_page_table(cells, output) for output in ("answer", "told")]


def _page_table(cells: AttackedCells, output: str) -> str:
    columns = {
        column: name for column, name in SHOWN.items() if any(_find(of_cell, name) for of_cell in cells.values())
    }
    lines = []
    for cell, of_cell in cells.items():
        unattacked = max(of_cell, key=lambda each: each["rows"])[output][CLEAN]
        attacked = (_find(of_cell, name, output) for name in columns.values())
        lines.append([f"`{cell}`", _percent(unattacked), *map(_after, attacked)])
    return _write(["", "unattacked", *columns], lines)


def _find(of_cell: Sequence[Mapping[str, Any]], name: str, output: str = "answer") -> Mapping[str, Any] | None:
    return next((figures[output] for figures in of_cell if figures["attack"] == name), None)


def _before_and_after(answer: Mapping[str, Any] | None) -> str:
    return "-" if answer is None else f"{100 * answer[CLEAN]['mean']:.0f} to {_percent(answer['attacked'])}"


def _after(answer: Mapping[str, Any] | None) -> str:
    return "-" if answer is None else _percent(answer["attacked"])


def _percent(share: Mapping[str, Any]) -> str:
    low, high = share["interval"]
    return f"{100 * share['mean']:.0f} ({100 * low:.0f}-{100 * high:.0f})"


def _write(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [head, ["---", *["---:"] * (len(head) - 1)], *lines]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
