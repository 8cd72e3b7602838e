"""Which attacks belong together."""

from collections.abc import Sequence

from .attack import Attack
from .attack_target import AttackTarget
from .early_layers import early_layer_attacks
from .image_changes import image_change_attacks
from .projected_gradient import projected_gradient_attacks


SUITES = ("icet", "image", "pixels")
ALL = "all"


def split_suites(suites: Sequence[str]) -> list[str]:
    """
    The suites that are meant, each once.

    Raises:
        ValueError: if there is no such suite.
    """
    if unknown := [suite for suite in suites if suite not in (*SUITES, ALL)]:
        raise ValueError(f"There is no suite {unknown[0]!r}; there are {', '.join(SUITES)} and {ALL}.")
    return [suite for suite in SUITES if suite in suites or ALL in suites]


def build_attacks(suites: Sequence[str], target: AttackTarget, steps: int, restarts: int) -> list[Attack]:
    """
    The attacks of some suites.

    Args:
        suites (`Sequence[str]`): some of `SUITES`.
        target ([`AttackTarget`]): the model; it has as many early layers as its tower.
        steps (`int`), restarts (`int`): of the attacks that descend a gradient.
    """
    attacks: list[Attack] = []
    if "icet" in suites:
        attacks += early_layer_attacks(target)
    if "image" in suites:
        attacks += image_change_attacks()
    if "pixels" in suites:
        attacks += projected_gradient_attacks(steps, restarts)
    return attacks
