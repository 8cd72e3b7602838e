"""Data sets of different columns, brought to one form and joined."""

from collections.abc import Iterator, Mapping
from typing import Any

from datasets import Dataset, Features, Image, List, Value, concatenate_datasets

from .columns import LABEL_FEATURES, without_empty_sets
from .encoded_images import keep_images_encoded
from .llava_tables import MESSAGE_FEATURE


SOURCE = "source"
"""The column that says which set a row comes from."""
HEAD_ONLY = "head_only"
"""The column that says that a row ends with its question, so that only the safety head learns from it."""
_TEXT_KEYS = {"role", "content", "type", "text"}


def join_datasets(datasets: Mapping[str, Dataset]) -> Dataset:
    """
    Joins data sets row by row, in their order. Of their columns those are kept that are trained on: the conversation,
    the images, the labels with their sets of possible classes, and `head_only`. A new column `source` has the set's
    name.

    Conversations become `messages` of parts. Where a set has answers in its prompts, which are not to be learned, all
    become `prompt` and `completion` instead; a conversation is cut before its first answer then. Prompts of plain text
    have no turns that could be told apart: they are joined with their like alone.

    Args:
        datasets (`Mapping[str, Dataset]`): the sets by name, as
            [`~safe_llava.data.load_safety_dataset`] returns them.

    Returns:
        [`~datasets.Dataset`]: the rows of all. Images stay where they are, encoded.

    Raises:
        ValueError: if plain prompts and turns come together, or answers in prompts and rows without an answer; if a
            turn has a field that would be lost, or a set a column that changes prompts (`tools`,
            `chat_template_kwargs`).
    """
    for name, dataset in datasets.items():
        if changing := {"tools", "chat_template_kwargs"} & {*dataset.column_names}:
            raise ValueError(f"{name} has a column {min(changing)!r}, which has no effect on images; remove it.")
    plain = [name for name, dataset in datasets.items() if _is_plain(dataset)]
    split = [name for name, dataset in datasets.items() if _has_answers_in_prompts(dataset)]
    unanswered = [name for name, dataset in datasets.items() if HEAD_ONLY in dataset.column_names]
    if plain and len(plain) < len(datasets):
        others = ", ".join(name for name in datasets if name not in plain)
        raise ValueError(
            f"{', '.join(plain)} has prompts of plain text and {others} has turns, which cannot stand in one column. "
            "Give `prompt` and `completion` as lists of turns, or `messages`."
        )
    if split and unanswered:
        raise ValueError(
            f"{', '.join(split)} has answers in its prompts and {', '.join(unanswered)} has rows without an answer, "
            "which cannot be joined. Train on one of them at a time."
        )
    formed = [_with_form(name, dataset, bool(plain), bool(split)) for name, dataset in datasets.items()]
    if unanswered:
        formed = [_with_column(dataset, HEAD_ONLY, False, Value("bool")) for dataset in formed]
    return without_empty_sets(concatenate_datasets(formed))


def _with_form(set_name: str, dataset: Dataset, is_plain: bool, is_split: bool) -> Dataset:
    texts = ["prompt", "completion"] if is_plain or is_split else ["messages"]
    feature = Value("string") if is_plain else MESSAGE_FEATURE
    kept = ("images", *LABEL_FEATURES, HEAD_ONLY)
    joined = dataset.select_columns([column for column in dataset.column_names if column in kept])
    if dataset.features["images"] != List(Image()):
        joined = joined.cast_column("images", List(Image()))
    if all(dataset.features.get(column) == feature for column in texts):
        columns = dataset.select_columns(texts)
    else:
        rows = _conversations(set_name, dataset, is_split)
        columns = Dataset.from_list([*rows], features=Features(dict.fromkeys(texts, feature)))
    joined = concatenate_datasets([joined, columns], axis=1)
    for column, of_label in LABEL_FEATURES.items():
        joined = _with_column(joined, column, [], of_label)
    return joined.add_column(SOURCE, [set_name] * len(joined), feature=Value("string"))


def _with_column(dataset: Dataset, name: str, default: Any, feature: Any) -> Dataset:
    if name not in dataset.column_names:
        return dataset.add_column(name, [default] * len(dataset), feature=feature)
    return dataset if dataset.features[name] == feature else dataset.cast_column(name, feature)


def _conversations(name: str, dataset: Dataset, is_split: bool) -> Iterator[dict[str, Any]]:
    texts = [column for column in ("messages", "prompt", "completion") if column in dataset.column_names]
    for row in keep_images_encoded(dataset.select_columns([*texts, "images"])):
        turns = row.get("messages")
        prompt = [*row["prompt"]] if turns is None else []
        turns = [*prompt, *row["completion"]] if turns is None else turns
        turns = _as_parts(name, turns, len(row["images"] or []))
        if not is_split:
            yield {"messages": turns}
            continue
        # Of a conversation every answer is learned.
        length = len(prompt) or _first_answer(turns)
        yield {"prompt": turns[:length], "completion": turns[length:]}


def _as_parts(name: str, turns: list[dict[str, Any]], num_images: int) -> list[dict[str, Any]]:
    """The turns with contents of parts. In a conversation of plain strings all images go before the first question."""
    is_text = all(isinstance(turn["content"], str) for turn in turns)
    missing = num_images if is_text else 0
    found = []
    for turn in turns:
        content = turn["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for one in (turn, *parts):
            if lost := [key for key, value in one.items() if key not in _TEXT_KEYS and value is not None]:
                raise ValueError(f"{name}: a turn has a field {lost[0]!r}, which cannot be joined; remove it.")
        parts = [{"type": part["type"], "text": part.get("text")} for part in parts or []]
        if turn["role"] == "user" and missing:
            parts, missing = [{"type": "image", "text": None}] * missing + parts, 0
        found.append({"role": turn["role"], "content": parts})
    return found


def _is_plain(dataset: Dataset) -> bool:
    return isinstance(dataset.features.get("prompt"), Value)


def _has_answers_in_prompts(dataset: Dataset) -> bool:
    if "prompt" not in dataset.column_names or _is_plain(dataset):
        return False
    return any(turn["role"] == "assistant" for turns in dataset["prompt"] for turn in turns)


def _first_answer(turns: list[dict[str, Any]]) -> int:
    return next((place for place, turn in enumerate(turns) if turn["role"] == "assistant"), len(turns))
