"""The same rows in every form that a JSON file has, and the same conversation in every spelling of its roles."""

import gzip
import json
from collections.abc import Callable
from typing import Any


def as_lines(records: list[dict[str, Any]]) -> bytes:
    return "".join(f"{json.dumps(record)}\n" for record in records).encode()


FORMS: dict[str, Callable[[list[dict[str, Any]]], bytes]] = {
    "list": lambda records: json.dumps(records).encode(),
    "indented list": lambda records: json.dumps(records, indent=2).encode(),
    "lines": as_lines,
    "lines with blank ones": lambda records: b"\r\n\n" + as_lines(records).replace(b"\n", b"\r\n\r\n"),
    "lines behind a byte order mark": lambda records: b"\xef\xbb\xbf" + as_lines(records),
    "lines in UTF-16": lambda records: as_lines(records).decode().encode("utf-16"),
    "objects over several lines": lambda records: "\n".join(
        json.dumps(record, indent=4) for record in records
    ).encode(),
    "objects without indentation": lambda records: "\n".join(
        json.dumps(record, indent=0) for record in records
    ).encode(),
}
"""The content of a file by its form. Any of them may be compressed."""
NAMES = ("rows.json", "rows.jsonl", "ROWS.JSON")

ROLES = (
    *(("human", "gpt"), ("USER", "ASSISTANT"), ("user", "assistant"), ("User", "Assistant"), ("Human", "GPT")),
    (" human ", "gpt\n"),
)
UNKNOWN_ROLES = ("robot", "", None, "users", 3, "model")


def write_form(folder, form: str, records: list[dict[str, Any]], name: str = "rows.json", compressed: bool = False):
    """A file in one of `FORMS`."""
    path = folder / (f"{name}.gz" if compressed else name)
    content = FORMS[form](records)
    path.write_bytes(gzip.compress(content) if compressed else content)
    return path


def speak(speakers: list[Any], style: str, texts: list[str]) -> dict[str, Any]:
    """A field with a conversation, in LLaVA's style ("conversations") or that of chat templates ("messages")."""
    names = ("from", "value") if style == "conversations" else ("role", "content")
    return {style: [dict(zip(names, turn)) for turn in zip(speakers, texts)]}
