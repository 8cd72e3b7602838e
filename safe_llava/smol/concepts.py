"""What drawings show: reads `concepts.yaml`, the table of names, risks and look-alikes."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import yaml

from ..models.safety_labels import SAFE_TYPE_ID, SAFETY_LEVELS, SAFETY_TYPES


TABLE = Path(__file__).with_name("concepts.yaml")
FOOD_KINDS = ("food", "drink")


@dataclass(frozen=True)
class Concept:
    """
    One thing that is drawn.

    Args:
        name (`str`): what answers call it, a countable noun.
        codes (`tuple[str, ...]`): its emoji, as the drawings' column `concept` has them.
        group (`str`): its risk group, or the kind of harmless thing.
        level (`int`, *optional*, defaults to 0):
            Its risk with a question that it serves, an index into `SAFETY_LEVELS`; 0 where it is harmless.
        safety_type (`int`, *optional*, defaults to `SAFE_TYPE_ID`): the type of that risk, an index into
            `SAFETY_TYPES`.
        alone (`int`, *optional*, defaults to 0): its risk whatever is asked.
        held_out (`bool`, *optional*, defaults to `False`): whether no training row may show it.
        look_alikes (`tuple[str, ...]`, *optional*, defaults to `()`): harmless concepts that look like it itself.
        drawn_otherwise (`dict[str, str | None]`, *optional*):
            What the drawing shows instead, by maker; `None` leaves the drawing out.
    """

    name: str
    codes: tuple[str, ...]
    group: str
    level: int = 0
    safety_type: int = SAFE_TYPE_ID
    alone: int = 0
    held_out: bool = False
    look_alikes: tuple[str, ...] = ()
    drawn_otherwise: dict[str, str | None] = field(default_factory=dict, hash=False)

    @property
    def kind(self) -> str:
        """What "which of the two is ..." calls it."""
        return "food" if self.group in FOOD_KINDS else self.group


@dataclass(frozen=True)
class ConceptTable:
    """
    The whole table.

    Args:
        concepts (`dict[str, Concept]`): every concept by its name.
        look_alikes (`dict[str, tuple[str, ...]]`): harmless concepts that stand in for any of a risk group, by group.
        colors (`dict[str, str]`): the color that a concept is known by.
    """

    concepts: dict[str, Concept]
    look_alikes: dict[str, tuple[str, ...]]
    colors: dict[str, str]

    def of_group(self, *groups: str) -> list[Concept]:
        """The concepts of risk groups, or of kinds of harmless things, in the order of the table."""
        return [concept for concept in self.concepts.values() if concept.group in groups]


@cache
def read_concepts() -> ConceptTable:
    """Read the table once."""
    table = yaml.safe_load(TABLE.read_text())
    held_out = set(table["held_out_look_alikes"])
    concepts = {
        name: Concept(name, tuple(codes), kind, held_out=name in held_out)
        for kind, names in table["harmless"].items()
        for name, codes in names.items()
    }
    for group, about in table["risks"].items():
        for name, entry in about["concepts"].items():
            concepts[name] = Concept(
                name,
                (entry["code"],),
                group,
                level=about["level"],
                safety_type=SAFETY_TYPES.index(about["type"]),
                alone=SAFETY_LEVELS.index(entry.get("alone", "none")),
                held_out=entry.get("held_out", False),
                look_alikes=tuple(entry.get("look_alikes", ())),
                drawn_otherwise=entry.get("drawn_otherwise", {}),
            )
    return ConceptTable(
        concepts,
        {group: tuple(about["look_alikes"]) for group, about in table["risks"].items()},
        {name: color for color, names in table["colors"].items() for name in names},
    )


PROPER_NAMES = {"Santa Claus": "Santa Claus", "Statue of Liberty": "the Statue of Liberty"}


def with_article(name: str) -> str:
    """The name with "a" or "an", or as a proper name has it."""
    vowel = name[0].lower() in "aeio" or name.startswith(("um", "una"))
    return PROPER_NAMES.get(name) or f"{'an' if vowel else 'a'} {name}"
