"""Ratings in a plain file that only grows: one JSON object a line, and a later line corrects an earlier one."""

import json
import os
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from filelock import FileLock

from ..models.safety_labels import SAFETY_TYPES
from .json_lines import choice_problem, parse_record, refuse, text_problem, unknown_fields


LOWEST_SCORE, HIGHEST_SCORE = 0, 10
_FIELDS = (
    "rater",
    "id",
    "scores",
    "places",
    "order",
    "risk_type",
    "sample_risk_type",
    "comment",
    "sample_digest",
    "time",
    "follows_cut_off_line",
)


@dataclass(frozen=True)
class Rating:
    """
    What one rater, a person or a judge model, said of one sample.

    Args:
        rater (`str`): name of the rater.
        id (`str`): the sample.
        scores (`dict[str, float]`, *optional*): points from 0 to 10 for each system's output, 10 the best.
        places (`dict[str, int]`, *optional*): in place of scores, a place for each system's output; 1 is the best and
            equal places are a tie.
        order (`tuple[str, ...]`, *optional*): the systems as they stood before the rater, from left to right.
        risk_type (`str`, *optional*): one of `SAFETY_TYPES`, chosen by the rater.
        sample_risk_type (`str`, *optional*): one of `SAFETY_TYPES`, from the file of samples.
        comment (`str`, *optional*, defaults to `""`): the rater's own words.
        sample_digest (`str`, *optional*): [`ReviewSample.digest`] of what was rated.
        time (`str`, *optional*): when, in ISO 8601, UTC.
    """

    rater: str
    id: str
    scores: dict[str, float] | None = None
    places: dict[str, int] | None = None
    order: tuple[str, ...] | None = None
    risk_type: str | None = None
    sample_risk_type: str | None = None
    comment: str = ""
    sample_digest: str | None = None
    time: str | None = None

    def outcome(self, first: str, second: str) -> int:
        """1 where the first system's output was preferred, -1 where the second's, 0 for a tie."""
        goodness = self.scores or {system: -place for system, place in (self.places or {}).items()}
        return (goodness[first] > goodness[second]) - (goodness[first] < goodness[second])

    def to_record(self) -> dict[str, Any]:
        """The fields that are set, as they stand in the file."""
        return {name: value for name in _FIELDS[:-1] if (value := getattr(self, name)) not in (None, "")}


@dataclass(frozen=True)
class CutOffLine:
    """
    A line that a killed run, or a full disk, left unfinished. It is no rating, and stays in the file.

    Args:
        path (`str`): the file.
        line (`int`): its line number, from 1.
        text (`str`): what is left of it.
    """

    path: str
    line: int
    text: str


@dataclass
class LoadedRatings:
    """
    What files of ratings hold.

    Args:
        ratings (`list[Rating]`): the rating of each rater for each sample that holds now, in the order of the files.
        num_superseded (`int`): how many earlier ratings they correct.
        cut_off_lines (`list[CutOffLine]`): what was left unfinished.
    """

    ratings: list[Rating] = field(default_factory=list)
    num_superseded: int = 0
    cut_off_lines: list[CutOffLine] = field(default_factory=list)


def append_rating(path: str | PathLike, rating: Rating) -> None:
    """
    Adds a rating to the end of a file, which is made if it is not there.

    The line is on the disk when this returns. Several processes may share a file: each line is one write at the end of
    it, under a lock (a file beside it with ".lock" after the name). An unfinished last line stays as it is, on a line
    of its own.

    Args:
        path (`str` or `PathLike`): the file.
        rating ([`Rating`]): what to add.

    Raises:
        OSError: if the rating could not be written whole.
    """
    record = rating.to_record()
    # Without the lock the last byte could be read while another process is in the middle of its line.
    with FileLock(f"{os.fspath(path)}.lock"), open(path, "a+b", buffering=0) as file:
        line = b""
        if not _ends_with_line_break(file):
            record["follows_cut_off_line"] = True
            line = b"\n"
        line += json.dumps(record, ensure_ascii=False).encode() + b"\n"
        written = file.write(line)
        os.fsync(file.fileno())
    if written < len(line):
        raise OSError(f"only {written} of {len(line)} bytes of the rating fitted into {path}; is the disk full?")


def _ends_with_line_break(file: BinaryIO) -> bool:
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def load_ratings(*paths: str | PathLike) -> LoadedRatings:
    """
    Reads ratings of people or of a judge.

    A judge's file needs `rater`, `id` and `scores` (or `places`) in each line, and may have `risk_type`:

    ```json
    {"rater": "judge", "id": "7", "scores": {"base": 2, "ours": 9}, "risk_type": "privacy"}
    ```

    Args:
        *paths (`str` or `PathLike`): the files. Each may hold several raters, and a rater may stand in several files
            with different samples.

    Returns:
        [`LoadedRatings`]. A last line that was cut off is reported there, not counted.

    Raises:
        ValueError: if a line is not as it should be, or a rater rated the same sample in two files, for then nobody
            knows which rating holds.
    """
    loaded = LoadedRatings()
    file_of: dict[tuple[str, str], str] = {}
    for path in map(Path, paths):
        current: dict[tuple[str, str], Rating] = {}
        for rating in _read_file(path, loaded.cut_off_lines):
            key = (rating.rater, rating.id)
            if key in file_of:
                raise ValueError(f"{rating.rater} rated sample {rating.id!r} in {file_of[key]} and again in {path}")
            loaded.num_superseded += key in current
            current[key] = rating
        file_of |= dict.fromkeys(current, str(path))
        loaded.ratings += current.values()
    return loaded


def _read_file(path: Path, cut_off_lines: list[CutOffLine]) -> list[Rating]:
    content = path.read_bytes()
    lines = {number: line for number, line in enumerate(content.split(b"\n"), start=1) if line.strip()}
    ratings: list[Rating] = []
    problems: dict[int, list[str]] = {}
    unreadable: dict[int, str] = {}
    for number, line in lines.items():
        try:
            record = parse_record(line)
        except ValueError as error:
            unreadable[number] = str(error)
            continue
        if record.get("follows_cut_off_line"):
            cut_off_lines += _cut_off(path, unreadable, lines)
        else:
            problems |= {bad: [reason] for bad, reason in unreadable.items()}
        unreadable = {}
        problems[number] = _problems(record)
        if not problems[number]:
            ratings.append(_rating(record))
    if content.endswith(b"\n"):
        problems |= {bad: [reason] for bad, reason in unreadable.items()}
    else:
        cut_off_lines += _cut_off(path, unreadable, lines)
    refuse(path, problems)
    return ratings


def _cut_off(path: Path, unreadable: dict[int, str], lines: dict[int, bytes]) -> list[CutOffLine]:
    return [CutOffLine(str(path), number, lines[number].decode(errors="replace")) for number in unreadable]


def _problems(record: dict[str, Any]) -> list[str]:
    problems = [
        *unknown_fields(record, _FIELDS),
        *text_problem(record, "rater"),
        *text_problem(record, "id"),
        *choice_problem(record, "risk_type", SAFETY_TYPES),
        *choice_problem(record, "sample_risk_type", SAFETY_TYPES),
    ]
    problems += [
        f"'{name}' must be a text, not {record[name]!r}"
        for name in ("comment", "sample_digest", "time")
        if not isinstance(record.get(name, ""), str)
    ]
    scales = [name for name in ("scores", "places") if record.get(name) is not None]
    if len(scales) != 1:
        problems.append("there must be 'scores' or 'places'" + (", not both" if scales else ""))
        return problems
    values = record[scales[0]]
    if not isinstance(values, dict) or not values:
        problems.append(f"'{scales[0]}' must have a number for each system, not {values!r}")
        return problems
    if scales == ["scores"]:
        problems += [
            f"'scores' of {system!r} must be from {LOWEST_SCORE} to {HIGHEST_SCORE}, not {score!r}"
            for system, score in values.items()
            if type(score) not in (int, float) or not LOWEST_SCORE <= score <= HIGHEST_SCORE
        ]
    else:
        problems += [
            f"'places' of {system!r} must be 1 or a later place, not {place!r}"
            for system, place in values.items()
            if type(place) is not int or place < 1
        ]
    order = record.get("order")
    if order is not None and not (isinstance(order, list) and set(order) == set(values) and len(order) == len(values)):
        problems.append(f"'order' must list each system of '{scales[0]}' once, not {order!r}")
    return problems


def _rating(record: dict[str, Any]) -> Rating:
    fields = {name: record[name] for name in _FIELDS[:-1] if record.get(name) is not None}
    if "order" in fields:
        fields["order"] = tuple(fields["order"])
    return Rating(**fields)
