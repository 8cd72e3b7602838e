"""Trains the models of the grid. Models that two cells share are trained once."""

from pathlib import Path

from cells import Cell, fingerprint
from filelock import FileLock

from safe_llava.convert import convert_llava_checkpoint
from safe_llava.miniature import CHECKPOINT
from safe_llava.run_recipe import run_recipe


def build_model(cell: Cell, seed: int, folder: Path, fields: dict) -> Path:
    """Convert the miniature and train it as a cell says.

    Args:
        cell: What to train.
        seed: Seed of the new modules and of the training.
        folder: Where models are kept, each under a name that says how it was made.
        fields: Fields that overrule every recipe's, such as a smaller number of rows.

    Returns:
        The folder of the finished model.
    """
    made_by: list = [cell.conversion(), seed]
    model = folder / f"converted-{fingerprint(made_by)}"
    with FileLock(f"{model}.lock"):
        if not model.exists():
            convert_llava_checkpoint(CHECKPOINT, model, seed=seed, **cell.conversion())
    for step in range(len(cell.train)):
        recipe, overruled = cell.recipe(step)
        overruled = overruled | fields
        made_by += [recipe.read_text(), overruled]
        source, model = model, folder / f"{recipe.stem}-{fingerprint(made_by)}"
        with FileLock(f"{model}.lock"):
            if not model.exists():
                run_recipe(recipe, source, model, seed, **overruled)
    return model
