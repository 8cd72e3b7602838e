"""JSON lines that people and programs wrote: what is wrong with one is said in words that help to mend it."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any


_UNPAIRED_SURROGATE = re.compile("[\ud800-\udfff]")
_PROBLEMS_SHOWN = 20


def parse_record(line: bytes) -> dict[str, Any]:
    """
    Reads one line.

    Args:
        line (`bytes`): the line as it stands in the file.

    Returns:
        `dict[str, Any]`: the JSON object.

    Raises:
        ValueError: if the line is no JSON object in UTF-8, or names a field twice.
    """
    try:
        record = json.loads(line, object_pairs_hook=_unique_fields)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON ({error})") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 ({error})") from None
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    if _UNPAIRED_SURROGATE.search(json.dumps(record, ensure_ascii=False)):
        raise ValueError("the text has an unpaired surrogate (half of a \\ud800-\\udfff escape)")
    return record


def _unique_fields(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        raise ValueError(f"{_quoted(twice)} stands there twice")
    return record


def unknown_fields(record: dict[str, Any], known: Iterable[str]) -> list[str]:
    """A problem for each field that has no meaning: it may be a misspelt one that would be left out in silence."""
    names = tuple(known)
    return [f"'{name}' is no field; there are {_quoted(names)}" for name in record if name not in names]


def text_problem(record: dict[str, Any], field: str) -> list[str]:
    """What is wrong with a field that must hold some text; empty if nothing."""
    if field not in record:
        return [f"'{field}' is missing"]
    if not isinstance(record[field], str) or not record[field].strip():
        return [f"'{field}' must be a text that is not empty, not {record[field]!r}"]
    return []


def choice_problem(record: dict[str, Any], field: str, choices: Sequence[str]) -> list[str]:
    """What is wrong with a field that may be left out or null, or else is one of the choices."""
    if record.get(field) is None or record[field] in choices:
        return []
    return [f"'{field}' must be one of {_quoted(choices)}, not {record[field]!r}"]


def refuse(path: object, problems: dict[int, list[str]]) -> None:
    """
    Raises one error for all bad lines of a file.

    Args:
        path (`object`): the file's name.
        problems (`dict[int, list[str]]`): what is wrong, by line number; good lines may be there with an empty list.

    Raises:
        ValueError: if anything is wrong. The first 20 lines are listed.
    """
    bad = {number: reasons for number, reasons in problems.items() if reasons}
    if not bad:
        return
    shown = [f"line {number}: {'; '.join(reasons)}" for number, reasons in list(bad.items())[:_PROBLEMS_SHOWN]]
    if len(bad) > len(shown):
        shown.append(f"and {len(bad) - len(shown)} more lines")
    raise ValueError(f"{path} cannot be used:\n  " + "\n  ".join(shown))


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
