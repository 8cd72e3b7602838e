"""Files: written whole or not at all, read as JSON; where the package keeps its own; what machine wrote them."""

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .version import __version__


_PACKAGE = Path(__file__).parent
# Inside the package when it comes from a wheel, beside it in a checkout.
_ROOT = _PACKAGE if (_PACKAGE / "recipes").is_dir() else _PACKAGE.parent
RECIPES: Path = _ROOT / "recipes"
MODEL_CARDS: Path = _ROOT / "model_cards"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """
    A name to write to. When the block ends well the file is moved to `path`, or to where a link there leads; when it
    fails or is killed, nothing stands at `path` that was not there before.

    Raises:
        OSError: if something else than a file stands there, such as a device.
    """
    path = path.resolve() if path.is_symlink() else path
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is not a regular file, and would be replaced. Name a file")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def check_outputs(inputs: Sequence[Path], outputs: dict[str, tuple[Path | None, bytes]]) -> None:
    """
    Refuses, before anything is read, outputs that would replace something else than an earlier output.

    Args:
        inputs (`Sequence[Path]`): what is read.
        outputs (`dict[str, tuple[Path or None, bytes]]`): for each option its file and how such a file begins.

    Raises:
        ValueError: if two options name one file, or a file that is there is an input or begins otherwise.
    """
    named: dict[Path, str] = {}
    read = {path.resolve() for path in inputs}
    for option, (path, beginning) in outputs.items():
        if path is None:
            continue
        if (other := named.setdefault(path.resolve(), option)) != option:
            raise ValueError(f"{option} and {other} name the same file, {path}")
        if path.resolve() in read:
            raise ValueError(f"{option} would replace {path}, which is read. Name another file")
        if path.is_file() and path.stat().st_size and not _begins(path, beginning):
            raise ValueError(f"{option} would replace {path}, which this command did not write. Name another file")


def _begins(path: Path, beginning: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(beginning)) == beginning


def write_json(path: Path, values: Any) -> None:
    """Writes values as indented JSON, whole or not at all. Raises a `ValueError` at NaN, which is no JSON."""
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_path(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """What a JSON file holds; `None` where there is no such file."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def fingerprint(folder: Path, left_out: Collection[str] = ()) -> str:
    """
    Tells whether a folder has changed, quickly for any number of weights.

    Args:
        folder (`Path`): the folder.
        left_out (`Collection[str]`, *optional*): names of files that do not count.

    Returns:
        `str`: a hash of the names, sizes and times of its files.
    """
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in left_out]
    files = sorted((str(path.relative_to(folder)), path.stat()) for path in paths)
    lines = "\n".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def check_settings(folder: Path, kept: dict[str, Any], settings: dict[str, Any]) -> None:
    """
    Refuses to go on with a result that was made otherwise.

    Args:
        folder (`Path`): where the result is, for the message.
        kept (`dict`): the settings that it was made with, as JSON gives them back.
        settings (`dict`): those that are asked for now.

    Raises:
        ValueError: if some are not the same, naming them.
    """
    settings = json.loads(json.dumps(settings))
    if changed := [name for name in settings if kept.get(name) != settings[name]]:
        raise ValueError(
            f"{folder} holds a result with other settings: {', '.join(changed)} changed. Take another output folder, "
            "or delete this one."
        )


def describe_versions(*packages: str) -> dict[str, str]:
    """The versions of this package and of those distributions that are installed, by name."""
    found = {"safe-llava": __version__}
    for name in packages:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def describe_machine(device: str | None = None) -> str:
    """The machine in words: its kind, its cores, Python, and the device where one is named."""
    parts = [platform.machine(), f"{os.cpu_count()} cores", f"Python {platform.python_version()}"]
    return ", ".join([*parts, *([] if device is None else [device])])
