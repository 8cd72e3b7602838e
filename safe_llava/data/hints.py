"""Writes safety hints into training prompts, so that the language model learns to leave the verdict to the head."""

from typing import Any

from datasets import Dataset

from ..models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from .encoded_images import declare_images, keep_images_encoded
from .turn_reading import roles_of


def add_hints(dataset: Dataset, hints: dict[str, dict[str, str]]) -> Dataset:
    """
    Puts behind the last question of every risky row with an image the hint that inference would put there.

    Trained without hints, the language model learns to refuse what looks risky to itself. It looks less well than the
    safety head: it refuses look-alikes that the head let pass, and no policy can tell it otherwise. (Not in the paper;
    `recipes/study` has the comparison.)

    Args:
        dataset ([`~datasets.Dataset`]):
            Rows of `messages`, or of `prompt` and `completion`, with `images` and both labels.
        hints (`dict[str, dict[str, str]]`): `hints[type][level]`, as in [`SafetyPolicy`].

    Returns:
        [`~datasets.Dataset`]: the same rows; those that are clean, have not one known class of both labels, or have no
        image are as they were.

    Raises:
        ValueError: if a risky row's prompt is plain text, has an unknown role or no question, or no row gets a hint.

    Example:

    ```python
    >>> from safe_llava import SafetyPolicy
    >>> train_dataset = add_hints(train_dataset, SafetyPolicy().hints)
    ```
    """
    columns = [name for name in ("messages", "prompt", "completion") if name in dataset.column_names]

    def needs_hint(row: dict[str, Any]) -> bool:
        return row["safety_level"] > 0 and row["safety_type"] >= 0 and bool(row["images"])

    def add(row: dict[str, Any]) -> dict[str, Any]:
        if not needs_hint(row):
            return {column: row[column] for column in columns}
        hint = hints[SAFETY_TYPES[row["safety_type"]]][SAFETY_LEVELS[row["safety_level"]]]
        # Also in a completion a user may ask; where nobody does, the error says so.
        asked = [column for column in columns if _has_question(row[column])] or columns
        return {column: _append(row[column], hint) if column == asked[-1] else row[column] for column in columns}

    encoded = keep_images_encoded(dataset)
    if not any(map(needs_hint, encoded)):
        raise ValueError("Hints have no effect: no row is risky and has an image.")
    return declare_images(encoded.map(add, desc="hints"))


def _has_question(turns: Any) -> bool:
    return isinstance(turns, str) or "user" in roles_of(turns)


def _append(turns: Any, hint: str) -> Any:
    """The conversation with the hint behind its last user turn; a prompt that is plain text is left alone."""
    if isinstance(turns, str):
        raise ValueError(
            "Hints cannot be put into prompts that are plain text, for the end of the question cannot be told there. "
            "Give `prompt` and `completion` as lists of turns, or `messages`."
        )
    asked = [place for place, role in enumerate(roles_of(turns)) if role == "user"]
    if not asked:
        raise ValueError("Hints cannot be put into a prompt in which the user says nothing.")
    last = asked[-1]
    return [*turns[:last], {**turns[last], "content": _extend(turns[last]["content"], hint)}, *turns[last + 1 :]]


def _extend(content: Any, hint: str) -> Any:
    if isinstance(content, str):
        return f"{content} {hint}"
    texts = [place for place, part in enumerate(content) if part["type"] == "text"]
    if not texts:
        return [*content, {"type": "text", "text": hint}]
    last = texts[-1]
    return [*content[:last], {**content[last], "text": f"{content[last]['text']} {hint}"}, *content[last + 1 :]]
