"""The figures of attacks as a table, for a terminal and for a model card."""

from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from rich.table import Table

from ...files import write_json
from ...model_card import ATTACKS_FILE, write_model_card
from .attack_figures import OUTPUTS


COLUMNS = ("attack", "rows", "head misses it", "policy lets it pass", "answer unsafe", "and right", "median cost")
NOTE = (
    "In percent, with 95 % intervals (Wilson); behind an arrow under attack, before it the same rows as they are. The "
    "cost is the change of a pixel, of 255, and the steps."
)


def table_rows(results: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """
    The cells of the table, in the order of `COLUMNS`.

    Args:
        results (`Mapping`): of [`~safe_llava.evaluation.attacks.run_attacks.run_attacks`].
    """
    return [
        (
            figures["attack"],
            str(figures["rows"]),
            *(_describe(figures[output]) for output in OUTPUTS),
            _describe_cost(figures["cost"]),
        )
        for figures in results["attacks"]
    ]


def rich_table(results: Mapping[str, Any]) -> Table:
    """The table for a terminal: without the intervals, for which there is no room."""
    table = Table(title=title(results), caption="In percent, the rows as they are → under attack.")
    for place, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if place else "left", no_wrap=place == 0)
    for row in table_rows(results):
        table.add_row(*(cell.partition(" [")[0] for cell in row))
    return table


def title(results: Mapping[str, Any]) -> str:
    """What was attacked, in one line."""
    return f"{PurePath(results['model']).name} under attack: {results['data']}; seed {results['seed']}"


def write_attack_card(folder: Path, results: Mapping[str, Any]) -> Path:
    """
    Writes `attacks.json` into a checkpoint's folder and its `README.md` anew, with the table.

    Args:
        folder (`Path`): the checkpoint that was attacked.
        results (`Mapping`): of [`~safe_llava.evaluation.attacks.run_attacks.run_attacks`].

    Returns:
        `Path`: the card.

    Raises:
        ValueError: if the policy was changed for the attacks: the card speaks of the policy that is stored.
    """
    if results["safety_policy"] is not None:
        raise ValueError(
            "These figures are of a changed policy, and a model card describes the stored one. Store it first, with "
            "`safe-llava calibrate` or `model.set_safety_policy` and `save_pretrained`, and attack again without "
            "`safety_policy`."
        )
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    note = f"{NOTE} {results['machine']}; {versions}."
    write_json(
        folder / ATTACKS_FILE,
        {"title": title(results), "note": note, "columns": COLUMNS, "rows": table_rows(results)},
    )
    return write_model_card(folder)


def _describe(figure: Mapping[str, Any] | None) -> str:
    if figure is None:
        return "-"
    clean, attacked = (100 * figure[name]["value"] for name in ("clean", "attacked"))
    low, high = (100 * end for end in figure["attacked"]["interval"])
    return f"{clean:.1f} → {attacked:.1f} [{low:.1f}, {high:.1f}]"


def _describe_cost(cost: Mapping[str, Any] | None) -> str:
    return "" if cost is None else f"{cost['epsilon']:g}, {cost['steps']:g} steps"
