"""One row of an audit: what is to be assessed."""

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.image_references import find_reference_in_turns
from ..data.image_values import IMAGE_FIELDS, EmptyImageError, images_of, names_in
from ..data.row_conversation import conversation_of
from ..data.turn_reading import IMAGE_PLACEHOLDER, content_of, roles_of


@dataclass(frozen=True)
class AuditRow:
    """
    A sample of the audited dataset.

    Args:
        key (`str`): its name in the dataset, in every table and list of the audit.
        images (`tuple[Path | bytes | dict, ...]`):
            Its images, as files, URLs, encoded, or as rows of a dataset have them. Without any, and without a
            `problem`, the row is text only.
        text (`str`, *optional*): what is asked about them; `None` asks a neutral question.
        problem (`str`, *optional*): why the row cannot be assessed, if the source already knows.
    """

    key: str
    images: tuple[Any, ...] = ()
    text: str | None = None
    problem: str | None = None


def read_row(
    key: str,
    record: Mapping[str, Any],
    image_fields: tuple[str, ...] = IMAGE_FIELDS,
    text_field: str | None = None,
    folder: Path | None = None,
) -> AuditRow:
    """
    A row of a file or a dataset as what is to be assessed.

    Args:
        key (`str`): the row's key.
        record (`Mapping`): the row.
        image_fields (`tuple[str, ...]`, *optional*): its fields of images, of which it may lack some.
        text_field (`str`, *optional*):
            Its field of the question, which [`question_of`] takes. Defaults to the row's conversation.
        folder (`Path`, *optional*): what the names of image files start from.

    Returns:
        [`AuditRow`]: with a `problem` where an image or the text is none, or the text speaks of images that are not
        in the fields of images. It is text only if no field of images holds one, and a conversation asks for none.
    """
    images: list[Any] = []
    try:
        images = images_of(record, image_fields, folder)
        value = record.get(text_field) if text_field is not None else conversation_of(record)[1]
        text = question_of(value)
        asked = _count_placeholders(value)
    except EmptyImageError as error:
        return AuditRow(key, problem=f"no image: {error}")
    except ValueError as error:
        return AuditRow(key, tuple(images), problem=f"not a row: {error}")
    given = next((field for field in image_fields if field in record), None)
    problem = None
    if (field := find_reference_in_turns(value, names_in(record, image_fields))) is not None:
        problem = f"image not given: a turn names an image in field {field!r}, which is in no image field of the row"
    elif not images and given is not None and (asked or text is None):
        problem = f"no image: image field {given!r} is empty"
    elif asked > len(images):
        problem = f"image not given: the text has {asked} {IMAGE_PLACEHOLDER}, and the row has {len(images)} images"
    # Half of a surrogate pair, which JSON can spell and neither UTF-8 nor a tokenizer can hold.
    text = None if text is None else text.encode("utf-8", "replace").decode("utf-8")
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
