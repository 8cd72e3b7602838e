"""What a row asks, in a form in which the same question is equal however it is spelled, and what it answers."""

import re
from collections.abc import Mapping
from typing import Any

from .turn_reading import IMAGE_PLACEHOLDER, UnknownRoleError, content_of, parse_role


_SPEAKERS = re.compile(r"\b(?:user|human|assistant|gpt|system)\s*:", re.IGNORECASE)


def normalize_question(text: str) -> str:
    """
    A question without its image placeholders, in lower case, with single spaces.

    Args:
        text (`str`): the question as it was asked.
    """
    return " ".join(text.replace(IMAGE_PLACEHOLDER, " ").casefold().split())


def questions_of(row: Mapping[str, Any]) -> tuple[str, ...]:
    """
    What the user says in each turn of a row, normalised.

    Args:
        row (`Mapping`):
            A row with `messages`, or with `prompt` and `completion`. A prompt of plain text is cut where a speaker is
            named ("USER:"), and its other turns are taken for questions too.
    """
    return tuple(question for question in map(normalize_question, _spoken(row)) if question)


def asked_in(row: Mapping[str, Any]) -> str:
    """What the user says in a row, as it stands there, turn by turn."""
    return "\n\n".join(text.replace(IMAGE_PLACEHOLDER, "").strip() for text in _spoken(row)).strip()


def answer_of(row: Mapping[str, Any]) -> str:
    """What the last turn of a row answers; empty where it does not."""
    completion = row.get("completion")
    if isinstance(completion, str):
        return completion.strip()
    turns = row.get("messages") or completion or []
    if not turns or turns[-1]["role"] != "assistant":
        return ""
    return _text(content_of(turns[-1])).strip()


def _spoken(row: Mapping[str, Any]) -> list[str]:
    if isinstance(row.get("prompt"), str):
        return _SPEAKERS.split(row["prompt"])
    turns = row.get("messages") or [*(row.get("prompt") or []), *(row.get("completion") or [])]
    return [_text(content_of(turn)) for turn in turns if _is_user(turn)]


def _is_user(turn: Mapping[str, Any]) -> bool:
    try:
        return parse_role(turn["role"]) == "user"
    except UnknownRoleError:
        return False


def _text(content: Any) -> str:
    return content if isinstance(content, str) else " ".join(part.get("text") or "" for part in content)
