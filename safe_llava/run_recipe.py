"""Runs a training recipe from Python, whole or not at all."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from .files import RECIPES


def run_recipe(config: Path, model: Path, output_dir: Path, seed: int, **fields: Any) -> None:
    """
    Runs `recipes/train.py` in a process of its own.

    Args:
        config (`Path`): the recipe's YAML file.
        model (`Path`): the model to train.
        output_dir (`Path`): where the result goes. It appears only when training has finished.
        seed (`int`): seed of the training.
        fields (`Any`): fields of the recipe to overrule.

    Raises:
        subprocess.CalledProcessError: if training failed; its own message is on standard error.
    """
    partial = output_dir.with_name(f"{output_dir.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    fields = {"model_name_or_path": model, "output_dir": partial, "seed": seed, **fields}
    command = [sys.executable, str(RECIPES / "train.py"), "--config", str(config)]
    command += [part for name, value in fields.items() for part in (f"--{name}", str(value))]
    # Threads that spin while they wait slow training down several times when another program needs a core.
    subprocess.run(command, check=True, env={"OMP_WAIT_POLICY": "passive", **os.environ})
    partial.rename(output_dir)
