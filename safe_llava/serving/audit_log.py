"""The append-only log of requests: JSON lines, each with the operating system before its answer leaves."""

import contextlib
import fcntl
import json
import logging
import os
from datetime import datetime, timezone
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any


class AuditLog:
    """
    Writes events.

    Args:
        path (`Path`): the file, which only its owner may read. Older parts stand beside it as `path.1`, `path.2`, ...
        max_bytes (`int`): size at which a new file begins.
        num_files (`int`): older parts that are kept.

    Raises:
        BlockingIOError: if another server writes to it, which would lose lines when a new file begins.
    """

    def __init__(self, path: Path, max_bytes: int, num_files: int):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handler = _Handler(path, maxBytes=max_bytes, backupCount=num_files, encoding="utf-8")
        self._is_torn = True

    def _end_line(self) -> None:
        """A line that a power cut or a full disk tore apart stays one line."""
        with self.path.open("rb+") as file:
            if file.seek(0, os.SEEK_END) and file.seek(-1, os.SEEK_END) is not None and file.read(1) != b"\n":
                file.write(b"\n")
        self._is_torn = False

    def write(self, event: str, **values: Any) -> None:
        """
        Writes one line.

        Args:
            event (`str`): what happened.
            values (`Any`): the rest of the line, that JSON can hold.

        Raises:
            OSError: if it cannot be written; then nothing may be answered.
        """
        time = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        line = json.dumps({"time": time, "event": event, **values}, ensure_ascii=False)
        if self._is_torn:
            self._end_line()
        try:
            self._handler.handle(logging.makeLogRecord({"msg": line}))
        except OSError:
            self._is_torn = True
            self._handler.drop_stream()
            raise

    def close(self) -> None:
        self._handler.close()


class _Handler(RotatingFileHandler):
    def _open(self):
        # What rotation opens is the owner's alone, too.
        descriptor = os.open(self.baseFilename, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise BlockingIOError(
                f"Another server writes to {self.baseFilename}. Give each its own: --audit-log."
            ) from None
        return os.fdopen(descriptor, "a", encoding=self.encoding)

    def drop_stream(self) -> None:
        """Nothing of a line that could not be written is left to be written in front of the next one."""
        stream, self.stream = self.stream, None
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        # Logging would print what went wrong and go on.
        raise
