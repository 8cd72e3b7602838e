"""One row of an audit: what is to be assessed."""

import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..data.turn_reading import IMAGE_PLACEHOLDER, content_of, roles_of
from .image_references import find_reference_in_turns


@dataclass(frozen=True)
class AuditRow:
    """
    A sample of the audited dataset.

    Args:
        key (`str`): its name in the dataset, in every table and list of the audit.
        images (`tuple[Path | bytes | dict, ...]`):
            Its images, as files, encoded, or as rows of a dataset have them. Without any, and without a `problem`, the
            row is text only: it has no field of images.
        text (`str`, *optional*): what is asked about them; `None` asks a neutral question.
        problem (`str`, *optional*): why the row cannot be assessed, if the source already knows.
    """

    key: str
    images: tuple[Any, ...] = ()
    text: str | None = None
    problem: str | None = None


def make_row(key: str, images: Sequence[Any], value: Any) -> AuditRow:
    """
    A row of images and of what its text column holds.

    Args:
        key (`str`): the row's key.
        images (`Sequence`): the images of its image fields.
        value (`Any`): what [`question_of`] takes.

    Returns:
        [`AuditRow`]: with a `problem` where the text is none, or speaks of images that are not among `images`.
    """
    try:
        text = question_of(value)
    except ValueError as error:
        return AuditRow(key, tuple(images), problem=f"not a row: {error}")
    problem = None
    if (field := find_reference_in_turns(value, list(images))) is not None:
        problem = f"image not given: a turn names an image in field {field!r}, which is in no image field of the row"
    elif (asked := _count_placeholders(value)) > len(images):
        problem = f"image not given: the text has {asked} {IMAGE_PLACEHOLDER}, and the row has {len(images)} images"
    return AuditRow(key, tuple(images), text, problem)


def question_of(value: Any) -> str | None:
    """
    What the user says in a text column: a string, or the turns of a conversation in LLaVA's form (`from`, `value`) or
    in that of chat templates (`role`, `content`), of which all user turns are taken. Roles are those of
    [`~safe_llava.data.turn_reading.parse_role`].

    Args:
        value (`Any`): what the column holds.

    Returns:
        `str`, *optional*: the question without image placeholders; `None` where there is none.

    Raises:
        ValueError: if it is none of these, or nobody can tell who speaks in a turn.
    """
    if value is None:
        return None
    if isinstance(value, str):
        return value.replace(IMAGE_PLACEHOLDER, "").strip() or None
    if isinstance(value, Sequence) and all(isinstance(turn, dict) for turn in value):
        said = map(_said, _user_turns(value))
        return "\n".join(filter(None, map(question_of, said))) or None
    raise ValueError(f"a text is a string or a list of turns, not {reprlib.repr(value):.80}")


def _count_placeholders(value: Any) -> int:
    if isinstance(value, str):
        return value.count(IMAGE_PLACEHOLDER)
    contents = map(content_of, _user_turns(value or ()))
    parts = [part for content in contents for part in (content if isinstance(content, list) else [content])]
    return sum(
        "image" in part["type"] if _is_other(part) else _text_of(part).count(IMAGE_PLACEHOLDER) for part in parts
    )


def _user_turns(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [turn for role, turn in zip(roles_of(turns), turns) if role == "user"]


def _said(turn: dict[str, Any]) -> str:
    content = content_of(turn)
    return "\n".join(map(_text_of, content if isinstance(content, list) else [content]))


def _text_of(part: Any) -> str:
    if _is_other(part):
        return ""
    text = part.get("text") or "" if isinstance(part, dict) else part
    if not isinstance(text, str):
        raise ValueError(f"a turn holds a text or parts with a type, not {reprlib.repr(part):.80}")
    return text


def _is_other(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("type"), str) and part["type"] != "text"


def printable_key(name: str) -> str:
    """`name` as one line of valid UTF-8: undecodable bytes and control characters are written as escapes."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )
