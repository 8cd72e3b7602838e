"""Datasets whose images stay encoded, so that they are decoded where all images are: by `models.image_reading`."""

import copy
from typing import Any, TypeVar

from datasets import Dataset, Features, Image, IterableDataset, LargeList, List


AnyDataset = TypeVar("AnyDataset")


def keep_images_encoded(dataset: AnyDataset) -> AnyDataset:
    """
    The same rows with images as dictionaries of `bytes` and `path`. Nothing is copied or read.

    Args:
        dataset (`Dataset` or `IterableDataset`): rows with declared features; everything else comes back as it is.
    """
    if not isinstance(dataset, Dataset | IterableDataset) or dataset.features is None:
        return dataset
    if isinstance(dataset, IterableDataset):
        return dataset.decode(False)
    # `cast_column` would write the whole dataset anew, for a list of images is no feature of its own to it.
    dataset = copy.deepcopy(dataset)
    dataset.info.features = Features({name: _encoded(feature) for name, feature in dataset.features.items()})
    return dataset


def declare_images(dataset: Dataset) -> Dataset:
    """The same rows with the dictionaries in `images` declared as images, which are decoded when a row is read."""
    dataset = copy.deepcopy(dataset)
    dataset.info.features["images"] = List(Image())
    return dataset


def holds_images(feature: Any) -> bool:
    """Whether a column of this type holds images, or lists of them."""
    if isinstance(feature, List | LargeList):
        return holds_images(feature.feature)
    return isinstance(feature, Image) or (isinstance(feature, dict) and set(feature) == {"bytes", "path"})


def _encoded(feature: Any) -> Any:
    if isinstance(feature, Image):
        return Image(decode=False)
    if isinstance(feature, List):
        return List(_encoded(feature.feature), length=feature.length)
    if isinstance(feature, LargeList):
        return LargeList(_encoded(feature.feature))
    return {name: _encoded(item) for name, item in feature.items()} if isinstance(feature, dict) else feature
