"""Tar files in webdataset's form, read as they lie: every member of every sample is looked at."""

import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ..models.image_formats import format_of_head, format_of_name, is_archive, is_image_file
from .audit_row import AuditRow, make_row, printable_key
from .image_references import EmptyImageError, find_reference, images_of


WEBDATASET_SUFFIXES = (".tar", ".tar.gz", ".tgz")
_SAMPLES_LOOKED_AT = 100
"""Samples in which a column that was named must be found."""


@dataclass
class _Sample:
    """
    Members of a tar file whose names are the same up to the first dot.

    Args:
        key (`str`): that part of their names.
        fields (`dict[str, bytes]`): their contents, by the rest of their names.
        problem (`str`, *optional*): why the sample cannot be assessed.
    """

    key: str
    fields: dict[str, bytes] = field(default_factory=dict)
    problem: str | None = None


class WebdatasetSource:
    """
    The samples of tar files, a shard for each file. The fields of a sample are its members' suffixes, and every field
    that is named like an image or begins like one is an image.

    Args:
        urls (`list[str]`): the files, local or whatever fsspec opens.
        name (`str`): what the user called them.
        image_columns (`tuple[str, ...]`, *optional*): fields with images. Defaults to all that are images.
        text_column (`str`, *optional*): field of the question, a text, or a conversation in JSON.
        key_column (`str`, *optional*): field of the key. Defaults to the common part of the members' names.

    Raises:
        ValueError: if there is no file, or the first samples lack a column that was named.
    """

    def __init__(
        self,
        urls: list[str],
        name: str,
        image_columns: tuple[str, ...] = (),
        text_column: str | None = None,
        key_column: str | None = None,
    ):
        if not urls:
            raise ValueError(f"no file is called {name}")
        self._urls, self.image_columns, self.text_column, self.key_column = (
            urls,
            image_columns,
            text_column,
            key_column,
        )
        self.num_shards: int = len(urls)
        self.num_rows: int | None = None
        wanted = {*image_columns, *filter(None, (text_column, key_column))} - {"__key__"}
        if wanted:
            found = {name for sample in islice(_samples(urls[0]), _SAMPLES_LOOKED_AT) for name in sample.fields}
            if missing := sorted(wanted - found):
                raise ValueError(f"{urls[0]} has no column {missing[0]!r}; it has {', '.join(sorted(found))}")

    def shard_rows(self, shard: int) -> None:
        """Only reading a tar file tells how many samples it has."""

    def rows(self, shard: int, start: int = 0) -> Iterator[AuditRow]:
        """The rows of a shard from row `start` on."""
        yield from map(self._row, islice(_samples(self._urls[shard]), start, None))

    def _row(self, sample: _Sample) -> AuditRow:
        named = None if self.key_column is None else sample.fields.get(self.key_column)
        key = printable_key(sample.key if named is None else named.decode("utf-8", "replace").strip())
        if sample.problem is not None:
            return AuditRow(key, problem=sample.problem)
        fields = {name: {"bytes": data, "path": f"{sample.key}.{name}"} for name, data in sample.fields.items()}
        columns = self.image_columns or tuple(name for name in fields if _is_image(name, sample.fields[name]))
        try:
            images = images_of(fields, columns)
            text = self._text(sample)
            problem = None if images else self._why_not_text_only(sample)
        except EmptyImageError as error:
            return AuditRow(key, problem=f"no image: {error}")
        except ValueError as error:
            return AuditRow(key, problem=f"not a row: {error}")
        if problem is not None:
            return AuditRow(key, problem=f"image not given: {problem}")
        return make_row(key, images, text)

    def _text(self, sample: _Sample) -> Any:
        if self.text_column is None or self.text_column not in sample.fields:
            return None
        text = sample.fields[self.text_column].decode("utf-8", "replace")
        return _parse(text) if self.text_column.endswith("json") else text

    def _why_not_text_only(self, sample: _Sample) -> str | None:
        for name, data in sample.fields.items():
            try:
                text = data.decode("utf-8")
            except UnicodeDecodeError:
                return f"the sample has no image that is read, but a member {name!r} that is no text"
            record = _parse(text) if name.endswith("json") else {name: text}
            if isinstance(record, dict) and (reference := find_reference(record, (self.text_column,))) is not None:
                return f"the sample has no image, but {name!r} names one in {reference!r}"
        if self.image_columns:
            return f"the sample has none of the fields {', '.join(self.image_columns)}"
        return None


def expand_urls(pattern: str) -> list[str]:
    """
    The files that a name with or without wildcards stands for, sorted.

    Raises:
        FileNotFoundError: if there are none.
    """
    files = fsspec.open_files(pattern, "rb", expand=True)
    is_local = isinstance(files.fs, LocalFileSystem)
    found = sorted(file.path if is_local else file.full_name for file in files)
    if not found or (is_local and not all(map(os.path.isfile, found))):
        raise FileNotFoundError(f"no file is called {pattern}")
    return found


class _StrictTarInfo(tarfile.TarInfo):
    """Takes only the end mark for the end: Python takes a file that is cut off between members for a whole one."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Any:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if isinstance(error, tarfile.EOFHeaderError):  # type: ignore[attr-defined]
                raise
            raise tarfile.ReadError(str(error)) from error


def _samples(url: str) -> Iterator[_Sample]:
    try:
        with fsspec.open(url, "rb") as file, tarfile.open(fileobj=file, mode="r|*", tarinfo=_StrictTarInfo) as archive:
            yield from _group(archive)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise OSError(f"{url} is no tar file, cut off or broken: {error}") from error


def _group(archive: tarfile.TarFile) -> Iterator[_Sample]:
    sample: _Sample | None = None
    for member in archive:
        if member.isdir():
            continue
        path = PurePosixPath(member.name)
        stem, _, suffixes = path.name.partition(".") if path.name[:1] != "." else (path.name, "", "")
        key = str(path.with_name(stem))
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            sample = _Sample(key)
        data = archive.extractfile(member) if member.isreg() else None
        if data is None:
            sample.problem = f"not a regular file: member {printable_key(member.name)} is a link or a device"
        elif suffixes in sample.fields:
            sample.problem = f"not a row: two members are called {printable_key(member.name)}"
        else:
            sample.fields[suffixes] = data.read()
    if sample is not None:
        yield sample


def _is_image(name: str, data: bytes) -> bool:
    found = format_of_name(f"x.{name}") or format_of_head(data)
    # An archive beside an image, such as NumPy's, holds the sample's other fields.
    return not is_archive(found) if found is not None else is_image_file(data)


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deep") from error
