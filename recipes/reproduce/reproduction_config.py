"""What a reproduction's YAML file may say, checked before anything runs."""

import dataclasses
import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from safe_llava.cli.calibrate import calibrate
from safe_llava.cli.convert import convert
from safe_llava.cli.evaluate import evaluate


@dataclass(frozen=True)
class SetFiles:
    """
    Files that others publish, and how they come here.

    Args:
        root (`str`): where they lie, or will.
        hub (`str`, *optional*): id of a dataset on the Hub, to be downloaded into `root`.
        include (`list[str]`, *optional*): patterns of the files to download. Defaults to all.
        get (`str`, *optional*): command line that writes `root`. Without `hub` and `get` you put the files there.
        home (`str`, *optional*): where to read about it, for sets without a description in the package.
        licence (`str`, *optional*): likewise; "gated" in it says that the Hub asks for a login.
        gigabytes (`float`, *optional*): disk that it takes.
    """

    root: str
    hub: str | None = None
    include: list[str] = field(default_factory=list)
    get: str | None = None
    home: str | None = None
    licence: str | None = None
    gigabytes: float | None = None


@dataclass(frozen=True)
class Stage:
    """
    One stage of training.

    Args:
        recipe (`str`): its file for `recipes/train.py`.
        fields (`dict`): fields of that file to overrule, such as the mix of sets in `datasets`.
        rows (`int`): about how many rows the mix has, for the forecast alone.
    """

    recipe: str
    fields: dict[str, Any]
    rows: int


@dataclass(frozen=True)
class Reproduction:
    """
    All of a reproduction. A file may name another one under `like` and say what it has otherwise.

    Args:
        output_dir (`str`): gets everything that is made.
        base (`str`): the LLaVA to convert and to compare with, a folder or a Hub id.
        shape (`str`): its shape for the forecast, one of `recipes.benchmark.shapes.SHAPES`.
        data (`str`): what it is trained on, in words for the card.
        sets (`dict[str, SetFiles]`): the files of others, by a name of yours.
        stage1 ([`Stage`]): the safety modules.
        stage2 ([`Stage`]): LoRA on the language model.
        calibrate (`dict`): `dataset`, and options of `safe-llava calibrate`.
        evaluate (`dict`): options of `safe-llava evaluate`; `benchmark` as a table of names and folders.
        convert (`dict`, *optional*): options of `safe-llava convert`.
        seed (`int`, *optional*, defaults to 0): of new weights, training and draws.
        gpus (`int`, *optional*, defaults to 1): processes that train, a GPU each; 0 trains on the CPU.
        assumed_tflops (`float`, *optional*, defaults to 125):
            What a GPU does in a second, for the forecast alone: 40 % of the 312 of an A100 in bfloat16.
        push_to (`str`, *optional*): repository on the Hub that the model goes to.
    """

    output_dir: str
    base: str
    shape: str
    data: str
    sets: dict[str, SetFiles]
    stage1: Stage
    stage2: Stage
    calibrate: dict[str, Any]
    evaluate: dict[str, Any]
    convert: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    gpus: int = 1
    assumed_tflops: float = 125
    push_to: str | None = None

    @property
    def folder(self) -> Path:
        return Path(self.output_dir)


SET_BY_US = {
    convert: {"source", "output", "seed"},
    calibrate: {"model", "output_dir", "update_model", "device"},
    evaluate: {"model", "base", "output_dir", "seed", "card", "policy", "device"},
}
"""Options of the commands that follow from the other fields."""


def read_reproduction(path: Path, gpus: int | None = None) -> Reproduction:
    """
    Reads a reproduction.

    Args:
        path (`Path`): the YAML file.
        gpus (`int`, *optional*): takes the place of the file's.

    Raises:
        ValueError: at a key that is unknown, missing or of another type, with those that are allowed.
    """
    whole = _build(Reproduction, _read_like(path), str(path))
    if not whole.sets:
        raise ValueError(f"{path}: `sets` is empty. Name at least one set to train on.")
    sets = {name: _build(SetFiles, value, f"{path}: sets.{name}") for name, value in whole.sets.items()}
    if both := [name for name, found in sets.items() if found.hub and found.get]:
        raise ValueError(f"{path}: sets.{both[0]} has `hub` and `get`. Give one of them.")
    stages = {name: _build(Stage, getattr(whole, name), f"{path}: {name}") for name in ("stage1", "stage2")}
    for command in (convert, calibrate, evaluate):
        options = inspect.signature(command).parameters.keys() - SET_BY_US[command]
        _check_keys(getattr(whole, command.__name__), options, (), f"{path}: {command.__name__}")
    if "dataset" not in whole.calibrate:
        raise ValueError(f"{path}: `calibrate` lacks `dataset`, the rows to calibrate on.")
    return dataclasses.replace(whole, sets=sets, **stages, **({} if gpus is None else {"gpus": gpus}))


def _read_like(path: Path) -> Any:
    """The values of a file, over those of the file that it names under `like`."""
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict) or "like" not in values:
        return values
    return _over(_read_like(Path(values.pop("like"))), values)


def _over(values: Any, changes: Any) -> Any:
    if not isinstance(values, dict) or not isinstance(changes, dict):
        return changes
    return {**values, **{name: _over(values.get(name), change) for name, change in changes.items()}}


def _build(kind: Callable[..., Any], values: Any, place: str) -> Any:
    known = {found.name: found for found in dataclasses.fields(kind)}  # type: ignore[arg-type]
    is_needed = [
        name
        for name, found in known.items()
        if found.default is dataclasses.MISSING and found.default_factory is dataclasses.MISSING
    ]
    _check_keys(values, known, is_needed, place)
    for name, value in values.items():
        allowed: Any = known[name].type
        allowed = {Stage: dict, float: float | int, float | None: float | int | None}.get(allowed, allowed)
        allowed = getattr(allowed, "__origin__", allowed)
        if not isinstance(value, allowed) or (isinstance(value, bool) and allowed is not bool):
            raise ValueError(f"{place}: `{name}` must be a {getattr(allowed, '__name__', allowed)}, not {value!r}.")
    return kind(**values)


def _check_keys(values: Any, known: Collection[str], needed: Collection[str], place: str) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"{place} must be a table of keys and values, not {values!r}.")
    if unknown := [name for name in values if name not in known]:
        raise ValueError(f"{place} has no key {unknown[0]!r}; there are {', '.join(sorted(known))}.")
    if missing := [name for name in needed if name not in values]:
        raise ValueError(f"{place} lacks {', '.join(missing)}.")
