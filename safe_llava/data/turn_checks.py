"""Rules that a conversation must keep to before a model can be trained on it."""

import re
from typing import Any

from .turn_reading import IMAGE_PLACEHOLDER, UnknownRoleError, roles_of


_TURNS = re.compile("(system )?(user assistant (tool assistant )*)+")
_TURNS_TO_ASSESS = re.compile("(system )?(user assistant (tool assistant )*)*user ")
"""Turns that end with a question: nothing to learn for the language model."""


def conversation_problems(messages: Any, num_images: int, head_only: bool = False) -> list[str]:
    """
    Checks turns, roles and image placeholders of one conversation.

    Turns alternate between "user" and "assistant", begin with the user (after an optional "system" turn) and end with
    the assistant, who may go on behind a "tool" turn. None is empty. Images stand in user turns only, as
    `{"type": "image"}` parts, and there are as many as the row has. A conversation of plain strings has no parts: all
    its images go before the first user turn.

    Args:
        messages (`list[dict]`): each `{"role": str, "content": str | list[dict]}`.
        num_images (`int`): how many images the row has.
        head_only (`bool`, *optional*, defaults to `False`):
            Whether the row is said to have no answer, so that only the safety head learns from it. It then ends with
            the user's turn.

    Returns:
        `list[str]`: everything that is wrong, empty for a sound conversation.
    """
    if not isinstance(messages, list) or not messages:
        return ["the conversation has no turns"]
    if not all(isinstance(message, dict) and "role" in message and "content" in message for message in messages):
        return ["every turn needs a 'role' and a 'content'"]
    problems = _role_problems([message["role"] for message in messages], head_only)
    placeholders = 0
    for number, message in enumerate(messages, start=1):
        texts, images = _content(message["content"])
        placeholders += images
        if not images and not any(text.strip() for text in texts):
            problems.append(f"turn {number} is empty")
        if images and message["role"] != "user":
            problems.append(f"turn {number} puts an image into a turn of role '{message['role']}'")
        if any(IMAGE_PLACEHOLDER in text for text in texts):
            problems.append(f"the text of turn {number} contains {IMAGE_PLACEHOLDER}; give images as content parts")
    all_strings = all(isinstance(message["content"], str) for message in messages)
    if placeholders != num_images and not all_strings:
        problems.append(f"{placeholders} image placeholders for {num_images} images")
    return problems


def text_problems(prompt: str, completion: str, num_images: int) -> list[str]:
    """The same checks for a prompt and a completion that are plain text, with `<image>` written out in the prompt."""
    problems = []
    placeholders = prompt.count(IMAGE_PLACEHOLDER)
    if placeholders != num_images:
        problems.append(f"{placeholders} image placeholders for {num_images} images")
    if IMAGE_PLACEHOLDER in completion:
        problems.append(f"the completion contains {IMAGE_PLACEHOLDER}")
    if not prompt.replace(IMAGE_PLACEHOLDER, "").strip() and not placeholders:
        problems.append("the prompt is empty")
    if not completion.strip():
        problems.append("the completion is empty")
    return problems


def _role_problems(roles: list[Any], head_only: bool) -> list[str]:
    try:
        roles = roles_of({"role": role} for role in roles)
    except UnknownRoleError as error:
        return [str(error)]
    written = "".join(f"{role} " for role in roles)
    if not (_TURNS_TO_ASSESS if head_only else _TURNS).fullmatch(written):
        last = "user" if head_only else "assistant"
        return [f"turns must alternate user, assistant, ..., and end with {last}, not {', '.join(roles)}"]
    return []


def _content(content: Any) -> tuple[list[str], int]:
    if isinstance(content, str):
        return [content], 0
    parts = content or []
    return [part.get("text") or "" for part in parts], sum(part.get("type") == "image" for part in parts)
