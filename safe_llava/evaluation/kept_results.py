"""Results that were kept: which checkpoint they are of, and whether they were made with the same settings."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from transformers import AutoConfig


UNREAD_FILES = frozenset({"README.md", "evaluation.json"})
"""Files of a checkpoint that no model reads; the card is written after an evaluation."""


def identify_checkpoint(checkpoint: str | os.PathLike) -> dict[str, Any]:
    """
    What tells a checkpoint from another one, and from itself after it was trained on.

    Args:
        checkpoint (`str` or `os.PathLike`): a folder or a Hub id.

    Returns:
        `dict`: `model`, the absolute folder or the Hub id, and `model_files`, a hash of the folder's names, sizes and
        times or the Hub's commit.

    Raises:
        ValueError: if there is no such checkpoint.
    """
    folder = Path(checkpoint)
    name = str(folder.resolve()) if folder.is_dir() else str(checkpoint)
    try:
        config = AutoConfig.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ValueError(f"{name} cannot be loaded, neither as a folder nor as a Hub id: {error}") from error
    return {"model": name, "model_files": fingerprint(folder) if folder.is_dir() else config._commit_hash}


def fingerprint(folder: Path) -> str:
    """
    A hash of the names, sizes and times of the files in a folder, which is quick for any number of weights.

    Args:
        folder (`Path`): the folder; its card and what stands in it do not count.

    Returns:
        `str`: the SHA-256.
    """
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name not in UNREAD_FILES]
    files = sorted((str(path.relative_to(folder)), path.stat()) for path in paths)
    lines = "\n".join(f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def check_settings(folder: Path, kept: dict[str, Any], settings: dict[str, Any]) -> None:
    """
    Refuses to go on with a result that was made otherwise.

    Args:
        folder (`Path`): where the result is, for the message.
        kept (`dict`): the settings that it was made with.
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
