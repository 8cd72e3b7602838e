"""One row of an audit: what is to be assessed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


_USERS = ("human", "user")
_PLACEHOLDER = "<image>"


@dataclass(frozen=True)
class AuditRow:
    """
    A sample of the audited dataset.

    Args:
        key (`str`): its name in the dataset, in every table and list of the audit.
        images (`tuple[Path | bytes, ...]`): its images, as files or encoded.
        text (`str`, *optional*): what is asked about them; `None` asks a neutral question.
        problem (`str`, *optional*): why the row cannot be assessed, if the source already knows.
    """

    key: str
    images: tuple[Path | bytes, ...] = ()
    text: str | None = None
    problem: str | None = None


def question_of(value: Any) -> str | None:
    """
    What the user says in a text column: a string, or the turns of a conversation in LLaVA's form (`from`, `value`) or
    in that of chat templates (`role`, `content`), of which all user turns are taken.

    Args:
        value (`Any`): what the column holds.

    Returns:
        `str`, *optional*: the question without image placeholders; `None` where there is none.

    Raises:
        ValueError: if it is none of these.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return value.replace(_PLACEHOLDER, "").strip() or None
    if isinstance(value, Sequence) and all(isinstance(turn, dict) for turn in value):
        said = [_said(turn) for turn in value if turn.get("from", turn.get("role")) in _USERS]
        return "\n".join(filter(None, map(question_of, said))) or None
    raise ValueError(f"a text is a string or a list of turns, not {value!r:.80}")


def _said(turn: dict[str, Any]) -> str | None:
    content = turn.get("value", turn.get("content"))
    if isinstance(content, list):
        return "\n".join(part.get("text") or "" for part in content if part.get("type") == "text")
    return content


def printable_key(name: str) -> str:
    """`name` as one line of valid UTF-8: undecodable bytes and control characters are written as escapes."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
