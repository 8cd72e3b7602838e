"""Digests of files and folders. A file is read again only when its size or time has changed."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from safe_llava.files import read_json, write_json


@dataclass(frozen=True)
class Files:
    """
    A file, or a folder with all that is in it but hidden files and the checkpoints that a training leaves on its way.

    Args:
        path (`Path`): the file or folder.
        left_out (`frozenset[str]`, *optional*): names in the folder that belong to other steps.
    """

    path: Path
    left_out: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[Path]:
        if self.path.is_file():
            yield self.path
        for path in sorted(self.path.rglob("*")) if self.path.is_dir() else ():
            parts = path.relative_to(self.path).parts
            is_foreign = parts[0] in self.left_out or any(part.startswith((".", "checkpoint-")) for part in parts)
            if path.is_file() and not is_foreign:
                yield path

    def touches(self, other: "Files") -> bool:
        """Whether one is the other, or lies in it and is not left out there."""
        for inner, outer in ((self, other), (other, self)):
            if inner.path == outer.path:
                return True
            if inner.path.is_relative_to(outer.path):
                return inner.path.relative_to(outer.path).parts[0] not in outer.left_out
        return False


class FileDigests:
    """
    Tells by content whether files have changed.

    Args:
        path (`Path`): file that keeps what was read, with the sizes and times by which it is known again.
    """

    def __init__(self, path: Path):
        self.path = path
        self._known: dict[str, list] = read_json(path) or {}

    def digest(self, files: Files) -> str | None:
        """A hash of names and contents; `None` where there is no file."""
        paths, before = list(files), dict(self._known)
        shown = tqdm(paths, desc="Looking for changes", unit="file", delay=5, leave=False)
        named = [(path.relative_to(files.path).as_posix(), self._digest_file(path)) for path in shown]
        if self._known != before:
            write_json(self.path, self._known)
        return hashlib.sha256(json.dumps(named).encode()).hexdigest() if named else None

    def _digest_file(self, path: Path) -> str:
        name, stat = str(path.absolute()), path.stat()
        seen = [stat.st_size, stat.st_mtime_ns]
        if self._known.get(name, [])[:2] != seen:
            content = hashlib.sha256()
            with path.open("rb") as file:
                for block in iter(lambda: file.read(1 << 20), b""):
                    content.update(block)
            self._known[name] = [*seen, content.hexdigest()]
        return self._known[name][2]
