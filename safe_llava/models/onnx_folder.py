"""The folder that `safe-llava export` wrote, which goes with an ONNX file beside it: read, and known again."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from .safety_policy import SafetyPolicy


SETTINGS = "guard.json"
FILES = ("tokenizer.json", "chat_template.jinja")
"""What a verdict rests on beside the ONNX file and the settings."""
CHANGEABLE = ("policy", "digest")
"""The settings that may change: the policy is the user's."""
_AGAIN = "Copy folder and ONNX file as they were, or export the guard again."


def is_exported(folder: str | os.PathLike) -> bool:
    """
    Whether a name is that of a folder that `safe-llava export` wrote, whole or not.

    Raises:
        ValueError: if it is that of the ONNX file beside one.
    """
    path = Path(folder)
    if path.suffix == ".onnx" and path.is_file():
        raise ValueError(f"{path} is the ONNX file of a guard. Give the folder beside it: {path.with_suffix('')}.")
    return (path / SETTINGS).is_file() or (path / "onnx_guard.py").is_file()


def read_settings(folder: Path) -> dict[str, Any]:
    """
    What the folder says of its guard.

    Args:
        folder (`Path`): the folder.

    Raises:
        ValueError: if a file of the guard is missing, or another one than was exported; with its name.
    """
    path = folder / SETTINGS
    if not path.is_file():
        raise ValueError(f"{path} is missing. Give the folder that `safe-llava export` wrote, whole: {_AGAIN}")
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        if digest_settings(settings) != settings["digest"]:
            raise ValueError("it says something else than when it was exported")
        files, _ = settings["files"], settings["policy"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        problem = f"no {error}" if isinstance(error, KeyError) else error
        raise ValueError(f"{path} cannot be taken: {problem}. {_AGAIN}") from error
    for name, sha256 in files.items():
        require_same(_locate(folder, name), sha256)
    return settings


def require_same(path: Path, sha256: str) -> bytes:
    """What a file of the guard holds. Raises a `ValueError` if it is missing, or not the one that was exported."""
    if not path.is_file():
        raise ValueError(f"{path} is missing, which was exported with the guard. {_AGAIN}")
    encoded = path.read_bytes()
    if hashlib.sha256(encoded).hexdigest() != sha256:
        raise ValueError(f"{path} is not the file that was exported with the guard. {_AGAIN}")
    return encoded


def digest_settings(settings: dict[str, Any]) -> str:
    """SHA-256 of all that a verdict rests on; nothing of the policy is in it."""
    kept = {name: value for name, value in settings.items() if name not in CHANGEABLE}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def onnx_path(folder: Path, settings: dict[str, Any]) -> Path:
    """The ONNX file beside a folder."""
    return _locate(folder, settings["onnx"])


def require_guarantee_of_folder(policy: SafetyPolicy, settings: dict[str, Any]) -> SafetyPolicy:
    """Raises a `ValueError` where the guarantee of a policy was given for other weights; else gives the policy."""
    if policy.guarantee is not None and policy.guarantee["weights"] != settings["weights"]:
        raise ValueError(
            "The policy's `guarantee` was given for another model, or for its weights before they were rounded. Take "
            "the field out of its file, or calibrate this guard."
        )
    return policy


def _locate(folder: Path, name: str) -> Path:
    # The ONNX file lies beside the folder, all else in it.
    return folder / name if name in FILES else folder.absolute().parent / name
