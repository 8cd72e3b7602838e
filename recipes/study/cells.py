"""The cells of a study's grid, as its YAML file spells them."""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from safe_llava.world import World

from .study_world import StudyWorld


TRAINED = ("generate", "davsp")
"""Methods that train, and are run with every seed."""


@dataclass(frozen=True)
class Cell:
    """
    One way to make a model answer.

    Attributes:
        world ([`~safe_llava.world.World`]): where it is trained and asked.
        name (`str`): its name in tables.
        group (`str`): `"ours"`, `"baseline"`, `"rival"` or `"ablation"`.
        about (`str`): what it is, in a line.
        method (`str`, *optional*, defaults to `"generate"`): `"generate"` for a SafeLLaVA that was trained for it,
            else the name of a function of `baselines.py` or of `rivals/`.
        options (`dict[str, Any]`, *optional*): arguments of that function.
        convert (`dict[str, Any]`, *optional*): arguments of the conversion that differ from the
            world's.
        train (`list[dict[str, Any]]`, *optional*, defaults to both stages): the recipes to run, each with `recipe` and
            the fields to overrule.
        calibrate (`dict[str, Any]`, *optional*): arguments of [`calibrate_model`]; without, the policy is the default.
        generate (`dict[str, Any]`, *optional*): arguments of `generate`.
    """

    world: World
    name: str
    group: str
    about: str
    method: str = "generate"
    options: dict[str, Any] = field(default_factory=dict)
    convert: dict[str, Any] = field(default_factory=dict)
    train: list[dict[str, Any]] = field(default_factory=lambda: [{"recipe": "stage1"}, {"recipe": "stage2"}])
    calibrate: dict[str, Any] = field(default_factory=dict)
    generate: dict[str, Any] = field(default_factory=dict)

    @property
    def is_seeded(self) -> bool:
        """Whether anything about it is random; what trains nothing is run once."""
        return self.method in TRAINED

    @property
    def is_converted(self) -> bool:
        """Whether a SafeLLaVA is made for it; else it defends the base."""
        return self.method == "generate"

    def conversion(self) -> dict[str, Any]:
        """The arguments of the conversion."""
        return {**self.world.conversion, **self.convert}

    def recipe(self, step: int) -> tuple[Path, dict[str, Any]]:
        """The YAML file of a training step, and the fields it overrules."""
        fields = dict(self.train[step])
        return self.world.recipe(fields.pop("recipe")), fields


def load_cells(study: StudyWorld) -> dict[str, Cell]:
    """Read the grid of a world; the order is that of the tables."""
    grid = yaml.safe_load(study.cells_file.read_text())
    return {name: Cell(study.world, name, **fields) for name, fields in grid.items()}


def fingerprint(*values: Any) -> str:
    """A short name for values that JSON can hold; equal values have equal names."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
