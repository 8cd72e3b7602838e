"""The conversation of a row, in whichever of its fields it stands."""

import json
from collections.abc import Collection, Mapping
from typing import Any


CONVERSATION_FIELDS = ("conversations", "messages")
QUESTION_FIELDS = ("question", "prompt")
ANSWER_FIELDS = ("answer", "response", "completion")
TEXT_FIELDS = (*CONVERSATION_FIELDS, *QUESTION_FIELDS, *ANSWER_FIELDS)


def conversation_fields(names: Collection[str]) -> tuple[str, ...]:
    """
    The fields that hold the conversation of a row.

    Args:
        names (`Collection[str]`): the fields or columns that there are.

    Returns:
        `tuple[str, ...]`: `conversations` or `messages`; else a question and its answer, or the question alone; or
        none.

    Raises:
        ValueError: if two of them say the same.
    """
    groups = (CONVERSATION_FIELDS, QUESTION_FIELDS, ANSWER_FIELDS)
    turns, questions, answers = ([name for name in group if name in names] for group in groups)
    for found in (turns,) if turns else (questions, answers) if questions else ():
        if len(found) > 1:
            raise ValueError(f"{' and '.join(map(repr, found))} say the same; keep one")
    return tuple(turns or (questions and questions + answers))


def conversation_of(record: Mapping[str, Any]) -> tuple[str, Any]:
    """
    The conversation of a row, as turns wherever it was given as a question and its answer, or as text in JSON.

    Args:
        record (`Mapping`): the row.

    Returns:
        `tuple[str, Any]`: the name of its field, for messages, and what it holds; `None` where there is nothing.

    Raises:
        ValueError: if two fields say the same, or a text is no JSON.
    """
    fields = conversation_fields(record)
    if not fields or fields[0] in QUESTION_FIELDS:
        if not any(record[field] for field in fields):
            return CONVERSATION_FIELDS[0], None
        said = [_as_turns(record[field], role) for field, role in zip(fields, ("user", "assistant"))]
        return "messages", [turn for turns in said for turn in turns]
    (field,) = fields
    if not isinstance(record[field], str):
        return field, record[field]
    try:
        return field, json.loads(record[field] or "null")
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{field}' is invalid JSON ({error})") from error


def _as_turns(said: Any, role: str) -> list[Any]:
    return said if isinstance(said, list) else [{"role": role, "content": said}]
