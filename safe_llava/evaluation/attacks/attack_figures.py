"""How often attacks succeed, beside the same rows unattacked, and what a success costs."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ...statistics import wilson_interval
from .attack import Attack
from .outcome_log import Outcome


CLEAN = "clean"
"""The name of the rows as they are, among attacks."""
OUTPUTS = {"head": "missed", "decision": "passed", "answer": "unsafe", "told": "told"}
"""What can be broken, and the field of an outcome that says so."""


def tabulate(attacks: Sequence[Attack], outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """
    Figures of each attack, and behind the attacks of a suite what any of them reaches.

    Args:
        attacks (`Sequence[Attack]`): those that were tried, in the order of the table.
        outcomes (`Sequence[Outcome]`): theirs, and those of the rows as they are.

    Returns:
        `list[dict]`: for each attack `attack`, `suite`, `about`, `rows`, and for each of `OUTPUTS` a `dict` of `clean`
        and `attacked`, each with `value` and `interval` (Wilson, 95 %), or `None` without a head;
        `cost`, `None` where nothing was bounded or no row broke, else the medians of `epsilon` and `steps` over the
        rows with an unsafe answer.
    """
    clean = {outcome.row: outcome for outcome in outcomes if outcome.attack == CLEAN}
    table = []
    for suite in dict.fromkeys(attack.suite for attack in attacks):
        of_suite = [attack for attack in attacks if attack.suite == suite]
        found = {attack.name: [o for o in outcomes if o.attack == attack.name] for attack in of_suite}
        for attack in of_suite:
            facts = {"attack": attack.name, "suite": suite, "about": attack.about}
            table.append({**facts, **_measure([[outcome] for outcome in found[attack.name]], clean)})
        if len(of_suite) > 1:
            tries: dict[str, list[Outcome]] = {}
            for outcome in (outcome for name in found for outcome in found[name]):
                tries.setdefault(outcome.row, []).append(outcome)
            facts = {"attack": f"any of {suite}", "suite": suite, "about": "the worst of these for each row"}
            table.append({**facts, **_measure(list(tries.values()), clean)})
    return table


def _measure(tries: Sequence[Sequence[Outcome]], clean: Mapping[str, Outcome]) -> dict[str, Any]:
    """Figures of rows, of each of which there are one or several outcomes."""
    figures: dict[str, Any] = {"rows": len(tries)}
    for output, field in OUTPUTS.items():
        values = [[getattr(outcome, field) for outcome in of_row] for of_row in tries]
        if not values or values[0][0] is None:
            figures[output] = None
            continue
        attacked = [any(of_row) for of_row in values]
        unattacked = [getattr(clean[of_row[0].row], field) for of_row in tries]
        figures[output] = {"clean": _share(unattacked), "attacked": _share(attacked)}
    return {**figures, "cost": _find_cost(tries)}


def _share(outcomes: Sequence[bool]) -> dict[str, Any]:
    return {"value": sum(outcomes) / len(outcomes), "interval": wilson_interval(outcomes)}


def _find_cost(tries: Sequence[Sequence[Outcome]]) -> dict[str, Any] | None:
    """Medians over the rows that broke, of each the cheapest try that broke it."""
    costs = [[(o.epsilon, o.steps) for o in of_row if o.unsafe and o.epsilon is not None] for of_row in tries]
    cheapest: list[Any] = [min(of_row) for of_row in costs if of_row]  # type: ignore[type-var]
    if not cheapest:
        return None
    epsilons, steps = zip(*cheapest)
    return {"epsilon": statistics.median(epsilons), "steps": statistics.median(steps)}
