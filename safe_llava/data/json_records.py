"""Rows of a JSON file in any of its forms: a list, an object a line, objects over several lines; each also in gz."""

import gzip
import json
import re
import zlib
from pathlib import Path
from typing import Any


_GZIP_MAGIC = b"\x1f\x8b"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _BrokenJsonError(ValueError):
    """Text that is no JSON."""


def read_records(path: Path) -> dict[int, Any]:
    """
    Reads the rows of a JSON file. Its content decides in which form it is, not its name.

    Args:
        path (`Path`): a list of rows, a row a line, or rows that go over several lines, one behind the other.

    Returns:
        `dict[int, Any]`: the rows by their number from 1: the line where each begins, or their place, in a list and
        where several begin in one line. One that is no JSON, or names a field twice, is a `ValueError` in its place.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it cannot be unpacked, or is a list that is broken.
    """
    content = _as_utf8(path, unpack(path))
    first_line, _, rest = content.lstrip().partition(b"\n")
    first = _parse(first_line)
    if first_line and not isinstance(first, _BrokenJsonError):
        if rest.strip():
            return _read_lines(content)
        return dict(enumerate(first if isinstance(first, list) else [first], start=1))
    if first_line.startswith(b"["):
        records = _parse(content)
        if isinstance(records, _BrokenJsonError):
            raise ValueError(f"{path} begins like a JSON list and is none: {records}")
        return dict(enumerate(records, start=1))
    return _read_objects(content) or _read_lines(content)


def unpack(path: Path) -> bytes:
    """
    The content of a file that may be compressed, which its beginning tells, or its name `.gz`.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it cannot be unpacked.
    """
    content = path.read_bytes()
    if content.startswith(_GZIP_MAGIC) or path.name.lower().endswith(".gz"):
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise ValueError(f"{path} cannot be unpacked: {error}") from error
    return content


def _as_utf8(path: Path, content: bytes) -> bytes:
    encoding = json.detect_encoding(content)
    if not encoding.startswith("utf-8"):  # Windows writes UTF-16, whose line ends are two bytes.
        try:
            content = content.decode(encoding).encode()
        except UnicodeDecodeError as error:
            raise ValueError(f"{path} is no text: {error}") from error
    return content.removeprefix(_BYTE_ORDER_MARK)


def _read_lines(content: bytes) -> dict[int, Any]:
    lines = enumerate(content.split(b"\n"), start=1)
    return {number: _parse(line) for number, line in lines if line.strip()}


def _read_objects(content: bytes) -> dict[int, Any]:
    """Objects over several lines, one behind the other; nothing if the first is none."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {}
    decoder = json.JSONDecoder(object_pairs_hook=_unique_fields)
    records: list[tuple[int, Any]] = []
    place = number = 0
    while (begin := re.compile(r"\S").search(text, place)) is not None:
        number += text.count("\n", place, begin.start())
        try:
            record, place = decoder.raw_decode(text, begin.start())
        except (ValueError, RecursionError) as error:
            if not records:
                return {}
            # What is broken ends where the next line begins an object.
            record = _broken(error)
            following = re.compile(r"\n(?=\{)").search(text, begin.start())
            place = len(text) if following is None else following.end()
        records.append((number + 1, record))
        number += text.count("\n", begin.start(), place)
    by_line = dict(records)
    return by_line if len(by_line) == len(records) else dict(enumerate((record for _, record in records), start=1))


def _parse(text: bytes) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique_fields)
    except (ValueError, RecursionError) as error:
        return _broken(error)


def _broken(error: Exception) -> _BrokenJsonError:
    return _BrokenJsonError(
        f"invalid JSON ({'it is nested too deep' if isinstance(error, RecursionError) else error})"
    )


def _unique_fields(pairs: list[tuple[str, Any]]) -> Any:
    """Of a field that stands there twice only one value would be looked at."""
    record = dict(pairs)
    if len(record) == len(pairs):
        return record
    names = [name for name, _ in pairs]
    return ValueError(f"it names the field {next(name for name in names if names.count(name) > 1)!r} twice")
