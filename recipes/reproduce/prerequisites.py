"""What has to be there before the first step runs, so that no run ends after days for want of it."""

import importlib.util
import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import huggingface_hub
import torch

from safe_llava.data.sources import PUBLIC_SETS

from ..steps.step_records import Step
from .forecast import disk_bytes
from .reproduction_config import Reproduction
from .training_recipes import recipe_of


JUDGE_KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "google": "GOOGLE_API_KEY"}
"""Where inspect looks for a judge's key, by the first part of the judge's name."""


def find_missing(whole: Reproduction, steps: Sequence[Step], wanted: Collection[str]) -> list[str]:
    """
    What is missing, in words.

    Args:
        whole ([`Reproduction`]): what is reproduced.
        steps (`Sequence[Step]`): all steps.
        wanted (`Collection[str]`): names of those that will run.
    """
    missing = [each for step in steps if step.name in wanted for each in _missing_for(whole, steps, step)]
    if not wanted:
        return []
    needed, free = sum(disk_bytes(whole, wanted).values()), shutil.disk_usage(whole.folder).free
    if needed > free:
        missing.append(f"disk: {needed / 1e9:.0f} GB are needed, and {free / 1e9:.0f} GB are free at {whole.folder}")
    return list(dict.fromkeys(missing))


def licence_of(whole: Reproduction, name: str) -> str:
    """The terms of a set, as the file or the package states them, and where to read them."""
    found, known = whole.sets[name], PUBLIC_SETS.get(name)
    licence = found.licence or (known.licence if known else "not stated")
    home = found.home or (known.home if known else found.hub)
    return licence if home is None else f"{licence}; see {home}"


def _missing_for(whole: Reproduction, steps: Sequence[Step], step: Step) -> Iterator[str]:
    for files in step.inputs:
        is_made = any(files.touches(written) for other in steps for written in other.outputs)
        if not is_made and str(files.path) != whole.base and not files.path.exists():
            yield f"{files.path} is not there{_whence(whole, files.path)}"
    if step.name.startswith("get-"):
        name = step.name.removeprefix("get-")
        if "gated" in licence_of(whole, name) and huggingface_hub.get_token() is None:
            yield f"a login to the Hub: {name} is gated. Accept its terms on its page, then `hf auth login`"
    number = int(step.name[-1]) if step.name in ("check1", "check2", "stage1", "stage2") else None
    if number and recipe_of(whole, number).get("benchmarks") and importlib.util.find_spec("imagehash") is None:
        yield "ImageHash, to keep rows of benchmarks out: pip install 'safe-llava[audit]'"
    if step.name == "push" and huggingface_hub.get_token() is None:
        yield "a login to the Hub, to push: `hf auth login`"
    if step.name.startswith("stage") and (found := torch.cuda.device_count()) < whole.gpus:
        yield f"GPUs: {step.name} wants {whole.gpus}, and {found} are here (--gpus N takes another number, 0 the CPU)"
    if step.name == "evaluate":
        yield from _missing_for_evaluation(whole)


def _whence(whole: Reproduction, path: Path) -> str:
    for name, found in whole.sets.items():
        if path.is_relative_to(found.root):
            return f": put the files of {name} there ({licence_of(whole, name)})"
    return ""


def _missing_for_evaluation(whole: Reproduction) -> Iterator[str]:
    if importlib.util.find_spec("inspect_ai") is None:
        yield "inspect-ai: pip install 'safe-llava[evaluation]' (Python 3.11 or newer)"
    suites = whole.evaluate.get("suite", ["all"])
    if {"utility", "all"} & {*suites} and importlib.util.find_spec("lmms_eval") is None:
        yield "lmms-eval, for the suite utility: see safe_llava/evaluation/README.md"
    key = JUDGE_KEYS.get(str(whole.evaluate.get("judge")).partition("/")[0])
    if key is not None and key not in os.environ:
        yield f"{key}: the judge {whole.evaluate['judge']} needs a key"
