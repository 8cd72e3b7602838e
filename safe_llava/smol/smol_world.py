"""The world of drawings as one to train and measure in."""

from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml
from datasets import Dataset

from ..files import atomic_path
from ..question_translations import read_translations
from ..world import World
from .drawings import Drawings
from .pair_questions import read_questions
from .training_rows import draw_training_rows
from .world_answers import GRAMMAR
from .world_dataset import build_dataset


BASE, DRAWINGS = "base", "drawings.parquet"
"""What the build leaves: the stock LLaVA, and the rendered drawings."""
BUILD = "python -m recipes.smol --output-dir"


def smol_world(folder: Path) -> World:
    """
    The world that was built in a folder.

    Args:
        folder (`Path`): what `python -m recipes.smol` filled.

    Raises:
        FileNotFoundError: if it holds no finished base or no drawings.
    """
    missing = [str(folder / name) for name in (f"{BASE}/config.json", DRAWINGS) if not (folder / name).is_file()]
    if missing:
        raise FileNotFoundError(f"{' and '.join(missing)} not found. Build them first: {BUILD} {folder}")
    drawings = folder / DRAWINGS
    return World(
        name="smol",
        data="scenes of emoji drawings with template questions, drawn by safe_llava.smol",
        dataset=("safe_llava/drawn-scenes", "Scenes of emoji drawings of safe_llava.smol"),
        base=folder / BASE,
        # As wide as this tower, a C-Abstractor has 30 million weights, a fifth of the model, and learns slowly.
        # It begins as LLaVA's own, which points at words.
        conversion={"num_safety_tokens": 8, "safety_projector_type": "mlp", "safety_projector_init": "llava"},
        build_dataset=partial(_build_dataset, drawings),
        grammar=GRAMMAR,
        name_rows=partial(_write_rows, drawings),
        answer_batch_size=32,
        epochs={"stage1": 1, "stage2": 1},
        showcase_title="The small LLaVA before and after safety alignment, on drawings by makers it has never seen",
        showcase_kinds={
            "pair_risky": "risky with this question",
            "pair_harmless": "the same kind of drawing, a harmless question",
            "look_alike": "harmless look-alike",
            "low_risk": "low risk: care is right, a refusal is not",
            "harmless": "harmless scene",
        },
        on_other_images="This small LLaVA knows drawings of single things; of a photograph it can say little.",
        translations=_read_translations(),
    )


def _read_translations() -> dict[str, dict[str, str]]:
    table = read_questions()
    pairs = {name: question.wordings for name, question in table.pairs.items()}
    return read_translations(
        Path(__file__).with_name("translations.yaml"),
        pairs | table.requests | {"follow": table.follow},
        {"who": table.people},
    )


@cache
def _read(drawings: Path, split: str) -> Drawings:
    return Drawings(drawings, split)


def _build_dataset(drawings: Path, split: str, num_rows: int, seed: int = 0, stage: str = "evaluation") -> Dataset:
    return build_dataset(_read(drawings, split), split, num_rows, seed, stage)


def _write_rows(drawings: Path, recipe: Path, fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Draws the rows that a recipe trains on into a file, once. `dataset_config` names their mix, as elsewhere."""
    spelled = yaml.safe_load(recipe.read_text(encoding="utf-8")) | fields
    mix, num_rows = spelled.get("dataset_config", recipe.stem), spelled["max_train_samples"]
    path = folder / f"{mix}-{num_rows}.parquet"
    if not path.exists():
        rows = draw_training_rows(_read(drawings, "train"), mix, num_rows)
        with atomic_path(path) as partial_path:
            rows.to_parquet(partial_path)
    return {name: value for name, value in fields.items() if name != "dataset_config"} | {"dataset_name": path}
