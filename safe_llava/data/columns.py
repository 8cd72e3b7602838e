"""Datasets that already have our columns: `messages` or `prompt` and `completion`, `images`, and the two labels."""

from collections.abc import Iterator
from typing import Any

from datasets import Dataset, Image, List, Value

from .encoded_images import declare_images, holds_images, keep_images_encoded
from .image_cells import source_of
from .image_checks import find_image_problems
from .image_digests import ImageDigests
from .label_parsing import SET_COLUMNS, is_labelled, parse_labels
from .turn_checks import conversation_problems, text_problems
from .turn_reading import UnknownRoleError, roles_of


LABEL_FEATURES = {
    **dict.fromkeys(SET_COLUMNS, Value("int64")),
    **dict.fromkeys(SET_COLUMNS.values(), List(Value("int64"))),
}


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
    feature = dataset.features["images"]
    # Where no row has a path its type is null, and the column is written anew.
    is_stored_so = isinstance(feature, List) and holds_images(feature.feature) and not _has_null(feature.feature)
    return declare_images(dataset) if is_stored_so else dataset.cast_column("images", List(Image()))


def _has_null(feature: Any) -> bool:
    return isinstance(feature, dict) and any(getattr(item, "dtype", None) == "null" for item in feature.values())


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
    return declare_images(keep_images_encoded(dataset).map(rename, desc="roles"))


def column_problems(dataset: Dataset, check_images: bool, digests: ImageDigests | None = None) -> Iterator[list[str]]:
    """
    Checks every row.

    Args:
        dataset ([`~datasets.Dataset`]): a dataset with our columns.
        check_images (`bool`): whether to decode the images.
        digests ([`ImageDigests`], *optional*): gets those of the images that are decoded.

    Returns:
        `Iterator[list[str]]`: everything that is wrong with each row, in the dataset's order.
    """
    encoded = keep_images_encoded(dataset)
    for row, image_problems in zip(encoded, _image_problems(encoded, check_images, digests), strict=True):
        labels, problems = parse_labels(row)
        if row.get("head_only") and not problems and not is_labelled(labels):
            problems = ["it has neither an answer nor a safety label: nothing to learn"]
        yield [*problems, *_text_problems(row), *image_problems]


def with_label_indices(dataset: Dataset) -> Dataset:
    """
    Writes `safety_level` and `safety_type` as int64 class indices, -100 where not one class alone is known, and the
    sets of possible classes beside them.

    Args:
        dataset ([`~datasets.Dataset`]): a dataset whose labels are known to be valid.
    """
    columns = [name for name in (*SET_COLUMNS, *SET_COLUMNS.values()) if name in dataset.column_names]
    rows = [parse_labels(row)[0] for row in dataset.select_columns(columns)]
    dataset = dataset.remove_columns(columns)
    for name, feature in LABEL_FEATURES.items():
        dataset = dataset.add_column(name, [row[name] for row in rows], feature=feature)
    return without_empty_sets(dataset)


def without_empty_sets(dataset: Dataset) -> Dataset:
    """
    Leaves out `possible_levels` and `possible_types` where no row has a set of possible classes, and `head_only` where
    every row has an answer.

    Args:
        dataset ([`~datasets.Dataset`]): a dataset with the four columns of labels.
    """
    if "head_only" in dataset.column_names and not any(dataset["head_only"]):
        dataset = dataset.remove_columns("head_only")
    has_sets = any(len(classes) for column in SET_COLUMNS.values() for classes in dataset[column])
    return dataset if has_sets else dataset.remove_columns([*SET_COLUMNS.values()])


def _with_known_roles(turns: Any) -> Any:
    if not isinstance(turns, list) or not all(isinstance(turn, dict) and "role" in turn for turn in turns):
        return turns
    try:
        return [{**turn, "role": role} for turn, role in zip(turns, roles_of(turns))]
    except UnknownRoleError:
        return turns


def _image_problems(encoded: Dataset, check_images: bool, digests: ImageDigests | None) -> list[list[str]]:
    if not check_images:
        return [[] for _ in range(len(encoded))]
    images = (list(map(source_of, row["images"])) for row in encoded.select_columns("images"))
    return find_image_problems(images, len(encoded), digests)


def _text_problems(row: dict[str, Any]) -> list[str]:
    num_images = len(row["images"])
    if row.get("messages") is not None:
        return conversation_problems(row["messages"], num_images, bool(row.get("head_only")))
    prompt, completion = row["prompt"], row["completion"]
    if isinstance(prompt, str) and isinstance(completion, str):
        return text_problems(prompt, completion, num_images)
    return conversation_problems([*(prompt or []), *(completion or [])], num_images)
