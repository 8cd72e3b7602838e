"""Trains the models of the grid. Models that two cells share are trained once."""

from pathlib import Path

from filelock import FileLock

from safe_llava.conversion import convert_llava_checkpoint
from safe_llava.run_recipe import run_recipe

from .cells import Cell, fingerprint
from .study_world import StudyWorld


def build_model(study: StudyWorld, cell: Cell, seed: int, folder: Path, fields: dict) -> Path:
    """
    Convert the world's base and train it as a cell says.

    Args:
        study ([`StudyWorld`]): where.
        cell ([`Cell`]): what to train.
        seed (`int`): of the new modules and of the training.
        folder (`Path`): where models are kept, each under a name that says how it was made.
        fields (`dict`): fields that overrule every recipe's, such as a smaller number of rows.

    Returns:
        `Path`: the folder of the finished model.
    """
    made_by: list = [study.fingerprint, cell.conversion(), seed]
    model = folder / f"converted-{fingerprint(made_by)}"
    with FileLock(f"{model}.lock"):
        if not model.exists():
            convert_llava_checkpoint(study.world.base, model, seed=seed, **cell.conversion())
    for step in range(len(cell.train)):
        recipe, overruled = cell.recipe(step)
        overruled = overruled | fields
        made_by += [recipe.read_text(), overruled]
        source, model = model, folder / f"{recipe.stem}-{fingerprint(made_by)}"
        with FileLock(f"{model}.lock"):
            if not model.exists():
                rows = folder / f"rows-{study.fingerprint}"
                with FileLock(f"{rows}.lock"):
                    named = study.world.name_rows(recipe, overruled, rows)
                if study.keeps_features and recipe.stem == "stage1" and not overruled.get("robust"):
                    named = named | {"vision_feature_cache": folder / "vision_features"}
                # A head that has not learned is a result too.
                run_recipe(recipe, source, model, seed, require_learned_head=False, **named)
    return model
