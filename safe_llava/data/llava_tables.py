"""Tables in LLaVA's form, as many on the Hub are: images, conversations and the authors' labels as our columns."""

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
from datasets import Dataset, Features, Image, List, Value, concatenate_datasets

from .author_format import parse_messages
from .encoded_images import declare_images, holds_images, keep_images_encoded
from .image_cells import as_cell
from .image_values import IMAGE_FIELDS, images_of
from .row_conversation import conversation_fields
from .turn_reading import IMAGE_PLACEHOLDER


MESSAGE_FEATURE = List({"role": Value("string"), "content": List({"type": Value("string"), "text": Value("string")})})
_NAMES = {"safe_level": "safety_level", "safe_type": "safety_type"}
_PROBLEM, _IS_NAMED = "image problem", "image is named"
"""Columns that are there while images are read."""


def with_our_columns(
    dataset: Dataset, source: str, own_folder: Path | None = None, image_folder: Path | None = None
) -> tuple[Dataset, dict[int, list[str]]]:
    """
    Renames and converts the columns of LLaVA's form. Columns of ours stay as they are.

    Args:
        dataset ([`~datasets.Dataset`]): the dataset as it was loaded.
        source (`str`): its name, for messages.
        own_folder (`Path`, *optional*): what names of image files start from.
        image_folder (`Path`, *optional*): the same, if the caller said so.

    Returns:
        `tuple[Dataset, dict[int, list[str]]]`: the dataset; and why images or conversations cannot be read, by their
        rows from 1. Such a row has none.

    Raises:
        ValueError: if two columns say the same, or no image is named by a file that starts from `image_folder`.
    """
    columns = dataset.column_names
    try:
        fields = conversation_fields(columns)
    except ValueError as error:
        raise ValueError(f"{source} has two columns for one thing: {error}") from error
    for name, ours in _NAMES.items():
        if {name, ours} <= {*columns}:
            raise ValueError(f"{source} has the columns '{name}' and '{ours}', which say the same; keep one")
    dataset = dataset.rename_columns({name: ours for name, ours in _NAMES.items() if name in columns})
    dataset, problems = _with_image_lists(dataset, source, own_folder, image_folder)
    if not fields or _is_ours(dataset, fields):
        return dataset, problems
    images = keep_images_encoded(dataset)["images"] if "images" in dataset.column_names else [[]] * len(dataset)
    messages: list[list[dict[str, Any]]] = []
    for number, (record, cells) in enumerate(zip(dataset.select_columns([*fields]), images), start=1):
        messages.append([])
        try:
            messages[-1], _ = parse_messages(record, len(cells))
        except ValueError as error:
            problems.setdefault(number, []).append(str(error))
    column = Dataset.from_dict({"messages": messages}, features=Features({"messages": MESSAGE_FEATURE}))
    return concatenate_datasets([dataset.remove_columns([*fields]), column], axis=1), problems


def _is_ours(dataset: Dataset, fields: tuple[str, ...]) -> bool:
    if fields == ("messages",):
        feature = dataset.features["messages"]
        has_marks = any(IMAGE_PLACEHOLDER in str(turns) for turns in dataset["messages"])
        return isinstance(feature, List) and {"role", "content"} <= {*feature.feature} and not has_marks
    return fields == ("prompt", "completion")


def _with_image_lists(
    dataset: Dataset, source: str, own_folder: Path | None, image_folder: Path | None
) -> tuple[Dataset, dict[int, list[str]]]:
    fields = tuple(name for name in IMAGE_FIELDS if name in dataset.column_names)
    is_named = False
    problems: dict[int, list[str]] = {}
    if fields and not (fields == ("images",) and _all_embedded(dataset)):
        encoded = keep_images_encoded(dataset)
        kept = {name: feature for name, feature in encoded.features.items() if name not in fields}
        added = {"images": List(Image(decode=False)), _PROBLEM: Value("string"), _IS_NAMED: Value("bool")}
        lists = encoded.map(
            _read_images,
            fn_kwargs={"fields": fields, "folder": image_folder or own_folder},
            remove_columns=[*fields],
            features=Features({**kept, **added}),
            desc="images",
        )
        is_named = any(lists[_IS_NAMED])
        problems = {number: [problem] for number, problem in enumerate(lists[_PROBLEM], start=1) if problem}
        dataset = declare_images(lists.remove_columns([_PROBLEM, _IS_NAMED]))
    if image_folder is not None and not is_named:
        raise ValueError(f"`image_folder` has no effect: {source} names no image by a file that starts from there.")
    return dataset, problems


def _all_embedded(dataset: Dataset) -> bool:
    """Whether every image of the column `images` has its bytes, so that there is nothing to read in it."""
    feature = dataset.features["images"]
    column = dataset.data.column("images")
    if not isinstance(feature, List) or not holds_images(feature.feature) or column.null_count:
        return False
    encoded = pc.struct_field(pc.list_flatten(column), "bytes")
    return encoded.null_count == 0 and not pc.any(pc.equal(pc.binary_length(encoded), 0)).as_py()


def _read_images(row: dict[str, Any], fields: tuple[str, ...], folder: Path | None) -> dict[str, Any]:
    read: dict[str, Any] = {"images": [], _PROBLEM: None, _IS_NAMED: False}
    try:
        images = images_of(row, fields)
        read[_IS_NAMED] = any(isinstance(image, Path) and not image.is_absolute() for image in images)
        if folder is not None:
            images = [(folder / image).absolute() if isinstance(image, Path) else image for image in images]
        read["images"] = [as_cell(image) for image in images]
    except ValueError as error:
        read[_PROBLEM] = str(error)
    return read
