"""Trains the models of the grid. Models that two cells share are trained once."""

import hashlib
from functools import cache
from pathlib import Path

from filelock import FileLock

from safe_llava.conversion import convert_llava_checkpoint
from safe_llava.miniature import CHECKPOINT
from safe_llava.miniature.conversations import sample_conversations
from safe_llava.miniature.drawing import draw_scene
from safe_llava.run_recipe import run_recipe

from .cells import Cell, fingerprint


@cache
def world_fingerprint() -> str:
    """Names the base and the synthetic world: with another base, other words or other images it is another name."""
    digest = hashlib.sha256((CHECKPOINT / "model.safetensors").read_bytes())
    for stage in ("stage1", "stage2"):
        for row in sample_conversations("train", 200, stage=stage):
            digest.update(repr(row.messages).encode() + b"".join(draw_scene(scene).tobytes() for scene in row.scenes))
    return digest.hexdigest()[:12]


def build_model(cell: Cell, seed: int, folder: Path, fields: dict) -> Path:
    """
    Convert the miniature and train it as a cell says.

    Args:
        cell ([`Cell`]): what to train.
        seed (`int`): of the new modules and of the training.
        folder (`Path`): where models are kept, each under a name that says how it was made.
        fields (`dict`): fields that overrule every recipe's, such as a smaller number of rows.

    Returns:
        `Path`: the folder of the finished model.
    """
    made_by: list = [world_fingerprint(), cell.conversion(), seed]
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
                # A head that has not learned is a result too.
                run_recipe(recipe, source, model, seed, require_learned_head=False, **overruled)
    return model
