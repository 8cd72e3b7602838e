"""Tar files in webdataset's form, read as they lie: every member of every sample is looked at."""

import json
import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from ..models.image_formats import format_of_head, format_of_name, is_archive, is_image_file
from .image_references import find_reference
from .image_values import IMAGE_FIELDS, is_null
from .row_conversation import ANSWER_FIELDS, CONVERSATION_FIELDS, QUESTION_FIELDS, TEXT_FIELDS, conversation_fields


@dataclass
class Sample:
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


class MissingImageError(ValueError):
    """A sample names an image, or may hold one, that is not among its members as such."""


def record_of(sample: Sample, image_fields: tuple[str, ...] = (), text_field: str | None = None) -> dict[str, Any]:
    """
    A sample as a row: what its JSON member says, its other text members by their suffixes, and under `images` its
    images. A member of JSON that is a list is the conversation. Where the JSON has an answer and no question, the
    member `txt` is the question.

    Args:
        sample ([`Sample`]): the sample.
        image_fields (`tuple[str, ...]`, *optional*):
            Members with images. Defaults to all that are named like one or begin as one.
        text_field (`str`, *optional*): a member that names no image, whatever it holds.

    Returns:
        `dict`: the row.

    Raises:
        MissingImageError: if there is no image, and what there is names one or may hold one.
        ValueError: if the JSON is broken.
    """
    names = image_fields or tuple(name for name, data in sample.fields.items() if _is_image(name, data))
    images = [
        {"bytes": sample.fields[name], "path": f"{sample.key}.{name}"} for name in names if name in sample.fields
    ]
    record: dict[str, Any] = {}
    for name, data in sample.fields.items():
        if name in names:
            continue
        try:
            value = parse_member(name, data.decode("utf-8"))
        except UnicodeDecodeError as error:
            if images:
                continue
            problem = f"the sample has no image that is read, but a member {name!r} that is no text"
            raise MissingImageError(problem) from error
        fields = value if isinstance(value, dict) else {name: value}
        if not images:
            _require_no_reference(name, fields, text_field)
        record |= {CONVERSATION_FIELDS[0]: value} if name == "json" and isinstance(value, list) else fields
    if image_fields and not images:
        raise MissingImageError(f"the sample has none of the fields {', '.join(image_fields)}")
    if not conversation_fields(record) and any(name in record for name in ANSWER_FIELDS) and "txt" in record:
        record[QUESTION_FIELDS[0]] = record["txt"]
    return {**{name: value for name, value in record.items() if name not in IMAGE_FIELDS}, "images": images}


def read_tar_records(urls: list[str]) -> dict[int, Any]:
    """
    The samples of tar files as rows, by their number from 1. One that cannot be read is a `ValueError` in its place.

    Args:
        urls (`list[str]`): the files, in their order.

    Raises:
        OSError: if one is no tar file, cut off or broken.
    """
    samples = (sample for url in urls for sample in read_samples(url))
    return dict(enumerate(map(_record_or_error, samples), start=1))


def _record_or_error(sample: Sample) -> Any:
    try:
        return ValueError(sample.problem) if sample.problem else record_of(sample)
    except ValueError as error:
        return error


def parse_member(name: str, text: str) -> Any:
    """What a text member holds: of one that is named JSON, what that says."""
    if not name.endswith("json"):
        return text
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deep") from error


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


def _require_no_reference(name: str, fields: dict[str, Any], text_field: str | None) -> None:
    given = {field: value for field, value in fields.items() if field not in IMAGE_FIELDS or not is_null(value)}
    if (reference := find_reference(given, (text_field, *TEXT_FIELDS))) is not None:
        raise MissingImageError(f"the sample has no image, but {name!r} names one in {reference!r}")


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


def read_samples(url: str) -> Iterator[Sample]:
    """
    The samples of a tar file, in their order.

    Args:
        url (`str`): the file, local or whatever fsspec opens.

    Raises:
        OSError: if it is no tar file, cut off or broken, at the place where that shows.
    """
    try:
        with fsspec.open(url, "rb") as file, tarfile.open(fileobj=file, mode="r|*", tarinfo=_StrictTarInfo) as archive:
            yield from _group(archive)
    except (OSError, EOFError, zlib.error, tarfile.TarError) as error:
        raise OSError(f"{url} is no tar file, cut off or broken: {error}") from error


def _group(archive: tarfile.TarFile) -> Iterator[Sample]:
    sample: Sample | None = None
    for member in archive:
        if member.isdir():
            continue
        path = PurePosixPath(member.name)
        stem, _, suffixes = path.name.partition(".") if path.name[:1] != "." else (path.name, "", "")
        key = str(path.with_name(stem))
        if sample is None or sample.key != key:
            if sample is not None:
                yield sample
            sample = Sample(key)
        data = archive.extractfile(member) if member.isreg() else None
        if data is None:
            sample.problem = f"not a regular file: member {member.name!r} is a link or a device"
        elif suffixes in sample.fields:
            sample.problem = f"not a row: two members are called {member.name!r}"
        else:
            sample.fields[suffixes] = data.read()
    if sample is not None:
        yield sample


def _is_image(name: str, data: bytes) -> bool:
    found = format_of_name(f"x.{name}") or format_of_head(data)
    # An archive beside an image, such as NumPy's, holds the sample's other fields.
    return not is_archive(found) if found is not None else is_image_file(data)
