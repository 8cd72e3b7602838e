"""Which attacks belong together."""

from collections.abc import Sequence

from ...world import World
from .attack import Attack
from .attack_row import draw_risky_rows
from .attack_target import AttackTarget
from .combined_attacks import combined_attacks
from .early_layers import early_layer_attacks
from .image_changes import image_change_attacks
from .other_languages import other_language_attacks
from .projected_gradient import projected_gradient_attacks
from .prompt_changes import prompt_change_attacks
from .spread_images import spread_attacks
from .typographic import typographic_attacks
from .universal_border import universal_border_attack


SUITES = ("icet", "typographic", "image", "spread", "text", "pixels", "border", "together")
ALL = "all"
ON_ONE_SQUARE = ("pixels", "border", "together")
"""Descend a gradient to the image itself, through what the processor does with one that the model sees whole."""
BORDER_ROWS = 64
"""Rows that a universal border is trained on."""


def split_suites(suites: Sequence[str]) -> list[str]:
    """
    The suites that are meant, each once.

    Raises:
        ValueError: if there is no such suite.
    """
    if unknown := [suite for suite in suites if suite not in (*SUITES, ALL)]:
        raise ValueError(f"There is no suite {unknown[0]!r}; there are {', '.join(SUITES)} and {ALL}.")
    return [suite for suite in SUITES if suite in suites or ALL in suites]


def build_attacks(
    suites: Sequence[str], target: AttackTarget, world: World, steps: int, restarts: int
) -> list[Attack]:
    """
    The attacks of some suites.

    Args:
        suites (`Sequence[str]`): some of `SUITES`.
        target ([`AttackTarget`]): the model; it has as many early layers as its tower.
        world ([`~safe_llava.world.World`]): draws the rows that a universal border is trained on, and
            knows its questions in other languages.
        steps (`int`), restarts (`int`): of the attacks that descend a gradient.

    Raises:
        ValueError: if the model cuts images into tiles, and a suite needs it to see each as one square; or if there is
            no attack, for the tower has no other layers.
    """
    if target.has_tiles and any(suite in ON_ONE_SQUARE for suite in suites):
        possible = " ".join(f"--suite {suite}" for suite in SUITES if suite not in ON_ONE_SQUARE)
        raise ValueError(
            f"{target.model.name_or_path} is a {target.model.config.model_type}, which cuts images into tiles. The "
            f"suites {', '.join(ON_ONE_SQUARE)} are written for LLaVAs that see an image as one square. Name the "
            f"others: {possible}."
        )
    attacks: list[Attack] = []
    if "icet" in suites:
        attacks += early_layer_attacks(target)
    if "typographic" in suites:
        attacks += typographic_attacks()
    if "image" in suites:
        attacks += image_change_attacks()
    if "spread" in suites:
        attacks += spread_attacks()
    if "text" in suites:
        attacks += [*prompt_change_attacks(), *other_language_attacks(world.translations)]
    if "pixels" in suites:
        attacks += projected_gradient_attacks(steps, restarts)
    if "border" in suites:
        rows = draw_risky_rows(world, BORDER_ROWS, target.seed, split="train")
        attacks.append(universal_border_attack(target, rows, steps * restarts))
    if "together" in suites:
        attacks += combined_attacks(target, steps, restarts)
    if not attacks:
        raise ValueError(
            f"The vision tower of {target.model.name_or_path} has one hidden state, so there is no other layer to "
            f"take features from. Name another suite than {', '.join(suites)}."
        )
    return attacks
