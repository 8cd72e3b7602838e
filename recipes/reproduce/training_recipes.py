"""The recipes of both stages for `recipes/train.py`: a file of this repository, with the mix of a reproduction."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from safe_llava.files import atomic_path
from safe_llava.training.data_arguments import DataArguments

from ..steps.file_digests import Files
from .reproduction_config import Reproduction, Stage


PATHS = ("root", "image_folder", "label_map")
"""Fields that name files or folders."""
SOURCES = ("dataset_name", "eval_dataset_name", "dataset", "name")
"""Fields that name a file, a folder or something else."""
BENCHMARKS = ("benchmark", "benchmarks")


def recipe_path(whole: Reproduction, number: int) -> Path:
    """Where the recipe of a stage is written."""
    return whole.folder / "recipes" / f"stage{number}.yaml"


def stage_of(whole: Reproduction, number: int) -> Stage:
    """Stage 1 or 2."""
    return (whole.stage1, whole.stage2)[number - 1]


def recipe_of(whole: Reproduction, number: int) -> dict[str, Any]:
    """The fields of a stage's recipe: its file's, overruled by the reproduction's."""
    stage = stage_of(whole, number)
    model = whole.folder / ("converted" if number == 1 else "stage1")
    paths = {"model_name_or_path": str(model), "output_dir": str(whole.folder / f"stage{number}")}
    recipe = yaml.safe_load(Path(stage.recipe).read_text(encoding="utf-8"))
    if "datasets" in stage.fields:
        recipe = {name: value for name, value in recipe.items() if name not in ("dataset_name", "image_folder")}
    return {**recipe, **paths, "seed": whole.seed, **stage.fields}


def data_fields(recipe: dict[str, Any]) -> dict[str, Any]:
    """The fields of a recipe that say what is trained on."""
    names = (*DataArguments.__dataclass_fields__, "stage", "seed")
    return {name: value for name, value in recipe.items() if name in names}


def write_recipes(whole: Reproduction) -> None:
    """
    Writes the recipes of both stages, so that the steps' command lines can be run by hand.

    Raises:
        ValueError: if `recipes/train.py` has no field of a name.
    """
    for number in (1, 2):
        path, text = recipe_path(whole, number), yaml.safe_dump(recipe_of(whole, number), sort_keys=False)
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        _check_fields(recipe_of(whole, number), f"stage{number}")
        with atomic_path(path) as partial:
            partial.write_text(text, encoding="utf-8")


def files_in(values: Any) -> Iterator[Files]:
    """The files and folders that fields name, in whatever lists and tables."""
    if isinstance(values, list):
        for value in values:
            yield from files_in(value)
    elif isinstance(values, dict):
        for name, value in values.items():
            if name in BENCHMARKS and isinstance(value, dict):
                yield from (Files(Path(path)) for path in value.values())
            elif name in PATHS or (name in SOURCES and _is_path(value)):
                yield Files(Path(value))
            else:
                yield from files_in(value)


def _is_path(value: str) -> bool:
    return Path(value).exists() or bool(Path(value).suffix)


def _check_fields(recipe: dict[str, Any], place: str) -> None:
    from trl import ModelConfig, SFTConfig  # Takes seconds, and most runs find their recipes written.

    from recipes.train import SafetyArguments

    known = {name for kind in (SafetyArguments, SFTConfig, ModelConfig) for name in kind.__dataclass_fields__}
    if unknown := [name for name in recipe if name not in known]:
        raise ValueError(f"{place} has no field {unknown[0]!r}; there are {', '.join(sorted(known))}.")
