"""Conversations as data files spell them: LLaVA's turns (`from`, `value`) and those of chat templates."""

import reprlib
from collections.abc import Iterable, Mapping
from typing import Any


IMAGE_PLACEHOLDER = "<image>"
_SPEAKER_KEYS = ("from", "role")
_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
}
"""Roles of chat templates, by the names that data files give them, in any case."""


class UnknownRoleError(ValueError):
    """A turn of which nobody can tell whether it is a question."""


def parse_role(name: Any) -> str:
    """
    Turns a role as data files spell it into that of chat templates.

    Args:
        name (`Any`): "human", "gpt", "user", "assistant", "system" or "tool", in any case, with spaces around.

    Returns:
        `str`: "user", "assistant", "system" or "tool".

    Raises:
        UnknownRoleError: if it is none of these.
    """
    role = _ROLES.get(name.strip().lower()) if isinstance(name, str) else None
    if role is None:
        raise UnknownRoleError(f"unknown role {reprlib.repr(name)}; roles are {', '.join(_ROLES)}, in any case")
    return role


def roles_of(turns: Iterable[Mapping[str, Any]]) -> list[str]:
    """
    Who speaks in each turn of a conversation.

    Args:
        turns (`Iterable[Mapping]`): the turns, each with its role under `from` or `role`.

    Returns:
        `list[str]`: as of [`parse_role`].

    Raises:
        UnknownRoleError: at the first turn that has no role that is known, or two that differ.
    """
    roles = []
    for number, turn in enumerate(turns, start=1):
        try:
            roles.append(_role_of(turn))
        except UnknownRoleError as error:
            raise UnknownRoleError(f"turn {number} has the {error}") from error
    return roles


def content_of(turn: Mapping[str, Any]) -> Any:
    """
    What is said in a turn, under `value` or `content`: text, or a list of parts. Empty where it is null.

    Raises:
        ValueError: if the turn has neither.
    """
    if not {"value", "content"} & turn.keys():
        raise ValueError(f"a turn has no 'value' and no 'content', but {', '.join(map(repr, turn))}")
    content = turn.get("content") if turn.get("value") is None else turn["value"]
    return "" if content is None else content


def parse_conversation(value: Any) -> list[dict[str, Any]]:
    """
    Turns a conversation into messages of chat templates, whose content is a list of parts.

    `<image>` in a turn's text becomes an image part: of "<image>\\nWho?" an image and the text "Who?".

    Args:
        value (`list[dict]`): the turns.

    Returns:
        `list[dict]`: each `{"role": str, "content": list[dict]}`.

    Raises:
        ValueError: if it is no list of turns, or a turn has an unknown role or a content of another kind.
    """
    if not isinstance(value, list) or not all(isinstance(turn, dict) and _is_content(turn) for turn in value):
        raise ValueError(
            f"must be a list of {{'from': ..., 'value': text}} or {{'role': ..., 'content': text or parts}}, "
            f"not {reprlib.repr(value):.80}"
        )
    return [{"role": role, "content": _parse_parts(content_of(turn))} for role, turn in zip(roles_of(value), value)]


def _role_of(turn: Mapping[str, Any]) -> str:
    found = [parse_role(turn[key]) for key in _SPEAKER_KEYS if turn.get(key) is not None]
    if len(set(found)) > 1:
        raise UnknownRoleError(f"unknown role: 'from' says {turn['from']!r}, and 'role' {turn['role']!r}")
    return found[0] if found else parse_role(None)


def _is_content(turn: dict[str, Any]) -> bool:
    return ("value" in turn or "content" in turn) and isinstance(content_of(turn), str | list)


def _parse_parts(content: str | list[Any]) -> list[dict[str, str]]:
    if isinstance(content, str):
        return _split_text(content)
    parts: list[dict[str, str]] = []
    for part in content:
        if isinstance(part, str):
            parts += _split_text(part)
            continue
        given = {key: value for key, value in part.items() if value is not None} if isinstance(part, dict) else {}
        if given == {"type": "image"}:
            parts.append(given)
        elif {"type": "text", **given}.keys() == {"type", "text"} and isinstance(given["text"], str):
            parts += _split_text(given["text"])
        else:
            raise ValueError(
                f"must hold text, {{'type': 'text', 'text': ...}} and {{'type': 'image'}}, whose image is named in "
                f"'image' or 'images', not {reprlib.repr(part):.80}"
            )
    return parts


def _split_text(text: str) -> list[dict[str, str]]:
    parts: list[dict[str, str]] = []
    for position, piece in enumerate(text.split(IMAGE_PLACEHOLDER)):
        if position:
            parts.append({"type": "image"})
        if piece.strip():
            parts.append({"type": "text", "text": piece.strip()})
    return parts
