"""Datasets that already have our columns: `messages` or `prompt` and `completion`, `images`, and the two labels."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datasets import Dataset, Image, List, Value

from .image_checks import find_image_problems
from .label_parsing import UNLABELLED, label_disagreement, parse_safety_level, parse_safety_type
from .turn_checks import conversation_problems, text_problems
from .turn_reading import UnknownRoleError, roles_of


def require_columns(dataset: Dataset, source: str) -> Dataset:
    """
    Makes sure that the columns are there, and that `images` holds images.

    Args:
        dataset ([`~datasets.Dataset`]): the dataset as it was loaded.
        source (`str`): its name, for the message.

    Returns:
        [`~datasets.Dataset`]: the dataset, with `images` as `List(Image())`.

    Raises:
        ValueError: if a column is missing.
    """
    columns = set(dataset.column_names)
    missing = [name for name in ("images", "safety_level", "safety_type") if name not in columns]
    if "messages" not in columns and not {"prompt", "completion"} <= columns:
        missing.insert(0, "messages (or prompt and completion)")
    if missing:
        raise ValueError(f"{source} lacks the columns {', '.join(missing)}; it has {', '.join(sorted(columns))}")
    return dataset.cast_column("images", List(Image()))


def with_known_roles(dataset: Dataset) -> Dataset:
    """
    Writes the roles of turns as chat templates know them; one that is unknown stays, for the checks to find.

    Args:
        dataset ([`~datasets.Dataset`]): a dataset with our columns.
    """
    columns = [name for name in ("messages", "prompt", "completion") if name in dataset.column_names]

    def rename(row: dict[str, Any]) -> dict[str, Any]:
        return {name: _with_known_roles(row[name]) for name in columns}

    if all(rename(row) == row for row in dataset.select_columns(columns)):
        return dataset
    encoded = dataset.cast_column("images", List(Image(decode=False)))
    return encoded.map(rename, desc="roles").cast_column("images", List(Image()))


def column_problems(dataset: Dataset, check_images: bool) -> Iterator[list[str]]:
    """
    Checks every row.

    Args:
        dataset ([`~datasets.Dataset`]): a dataset with our columns.
        check_images (`bool`): whether to decode the images.

    Returns:
        `Iterator[list[str]]`: everything that is wrong with each row, in the dataset's order.
    """
    encoded = dataset.cast_column("images", List(Image(decode=False)))
    for row, image_problems in zip(encoded, _image_problems(encoded, check_images), strict=True):
        yield [*_label_problems(row), *_text_problems(row), *image_problems]


def with_label_indices(dataset: Dataset) -> Dataset:
    """
    Writes `safety_level` and `safety_type` as int64 class indices, -100 where a row has none.

    Args:
        dataset ([`~datasets.Dataset`]): a dataset whose labels are known to be valid.
    """
    for column, parse in (("safety_level", parse_safety_level), ("safety_type", parse_safety_type)):
        labels = [_index(value, parse) for value in dataset[column]]
        dataset = dataset.remove_columns(column).add_column(column, labels).cast_column(column, Value("int64"))
    return dataset


def _with_known_roles(turns: Any) -> Any:
    if not isinstance(turns, list) or not all(isinstance(turn, dict) and "role" in turn for turn in turns):
        return turns
    try:
        return [{**turn, "role": role} for turn, role in zip(turns, roles_of(turns))]
    except UnknownRoleError:
        return turns


def _image_problems(encoded: Dataset, check_images: bool) -> Iterator[list[str]]:
    if not check_images:
        return ([] for _ in range(len(encoded)))
    images = (
        [image if image["bytes"] else Path(image["path"]) for image in row["images"] or []]
        for row in encoded.select_columns("images")
    )
    return find_image_problems(images, len(encoded))


def _label_problems(row: dict[str, Any]) -> list[str]:
    indices, problems = [], []
    for column, parse in (("safety_level", parse_safety_level), ("safety_type", parse_safety_type)):
        try:
            indices.append(_index(row[column], parse))
        except ValueError as error:
            problems.append(f"'{column}': {error}")
    if len(indices) == 2 and (disagreement := label_disagreement(*indices)):
        problems.append(disagreement)
    return problems


def _text_problems(row: dict[str, Any]) -> list[str]:
    num_images = len(row["images"] or [])
    if row.get("messages") is not None:
        return conversation_problems(row["messages"], num_images)
    prompt, completion = row["prompt"], row["completion"]
    if isinstance(prompt, str) and isinstance(completion, str):
        return text_problems(prompt, completion, num_images)
    return conversation_problems([*(prompt or []), *(completion or [])], num_images)


def _index(value: Any, parse: Any) -> int:
    return UNLABELLED if value in (None, UNLABELLED) else parse(value)
