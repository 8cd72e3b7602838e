"""The files by which an audit goes on: what is wrong with one is said with its name."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..files import atomic_path


_BLOCK = 1 << 20


class AuditStateError(ValueError):
    """A file of the audit's own that is gone, broken, doubled or foreign, so that the table cannot be trusted."""


def state_error(path: Path, problem: str) -> AuditStateError:
    """An error that names the file and says how to mend it."""
    return AuditStateError(f"{path} {problem}. Put it right, or delete the audit's folder and start again.")


def read_state(path: Path) -> dict[str, Any]:
    """
    Reads one of the audit's JSON files.

    Raises:
        AuditStateError: if it is gone, or no JSON object.
    """
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise state_error(path, "is gone") from None
    except (OSError, ValueError, RecursionError) as error:
        raise state_error(path, f"is broken: {error}") from error
    if not isinstance(values, dict):
        raise state_error(path, f"is broken: it holds no JSON object but {type(values).__name__}")
    return values


def digest(content: bytes | Path) -> str | None:
    """12 hexadecimal digits that tell contents apart, those of a file too; `None` where there is no such file."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()[:12]
    if not content.is_file():
        return None
    found = hashlib.sha256()
    with content.open("rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()[:12]


def write_lines(path: Path, lines: Iterable[Any]) -> None:
    """Writes a text file, whole or not at all."""
    with atomic_path(path) as partial, partial.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def remove_partials(folder: Path, prefix: str = "") -> None:
    """Removes what killed processes had begun to write. Nobody else may be writing files of such names."""
    for path in folder.glob(f".{prefix}*.partial"):
        path.unlink(missing_ok=True)
