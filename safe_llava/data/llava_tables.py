"""Tables in LLaVA's form, as many on the Hub are: `image`, `conversations` and the authors' labels as our columns."""

from typing import Any

from datasets import Dataset, Features, Image, List, Value, concatenate_datasets

from .encoded_images import decode_images
from .turn_reading import UnknownRoleError, parse_conversation


MESSAGE_FEATURE = List({"role": Value("string"), "content": List({"type": Value("string"), "text": Value("string")})})
_NAMES = {"safe_level": "safety_level", "safe_type": "safety_type"}


def with_our_columns(dataset: Dataset, source: str) -> tuple[Dataset, dict[int, str]]:
    """
    Renames and converts the columns of LLaVA's form. Columns of ours stay as they are.

    Args:
        dataset ([`~datasets.Dataset`]): the dataset as it was loaded.
        source (`str`): its name, for messages.

    Returns:
        `tuple[Dataset, dict[int, str]]`: the dataset; and why conversations cannot be read, by their rows from 1. Such
        a row has no messages.

    Raises:
        ValueError: if two columns say the same, or `image` holds no images.
    """
    pairs = {**_NAMES, "image": "images", "conversations": "messages"}
    for name, ours in pairs.items():
        if {name, ours} <= {*dataset.column_names}:
            raise ValueError(f"{source} has the columns '{name}' and '{ours}', which say the same; keep one")
    dataset = dataset.rename_columns({name: ours for name, ours in _NAMES.items() if name in dataset.column_names})
    if "image" in dataset.column_names:
        dataset = with_image_lists(dataset, source)
    if "conversations" not in dataset.column_names:
        return dataset, {}
    messages: list[list[dict[str, Any]]] = []
    problems: dict[int, str] = {}
    for number, value in enumerate(dataset["conversations"], start=1):
        try:
            messages.append(parse_conversation(value))
        except ValueError as error:
            messages.append([])
            problems[number] = str(error) if isinstance(error, UnknownRoleError) else f"'conversations' {error}"
    column = Dataset.from_dict({"messages": messages}, features=Features({"messages": MESSAGE_FEATURE}))
    return concatenate_datasets([dataset.remove_columns("conversations"), column], axis=1), problems


def with_image_lists(dataset: Dataset, source: str) -> Dataset:
    """
    Makes of the column `image` the column `images`, a list of one or none. The images stay on the disk.

    Args:
        dataset ([`~datasets.Dataset`]): the dataset as it was loaded.
        source (`str`): its name, for messages.

    Raises:
        ValueError: if `image` holds no images.
    """
    feature = dataset.features["image"]
    if isinstance(feature, List) and isinstance(feature.feature, Image):
        return dataset.rename_column("image", "images")
    if not isinstance(feature, Image) and not (isinstance(feature, dict) and feature.keys() == {"bytes", "path"}):
        raise ValueError(f"{source}: the column 'image' holds no images but {feature}; only JSON names them by files")
    encoded = dataset.cast_column("image", Image(decode=False))
    features = Features({**encoded.features, "images": List(Image(decode=False))})
    del features["image"]
    lists = encoded.map(
        lambda row: {"images": [] if row["image"] is None else [row["image"]]},
        remove_columns="image",
        features=features,
        desc="images",
    )
    return decode_images(lists)
