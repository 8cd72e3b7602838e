"""Datasets whose images stay encoded, so that they are decoded where all images are: by `models.image_reading`."""

import copy
from typing import TypeVar

from datasets import Dataset, Image, IterableDataset, LargeList, List


AnyDataset = TypeVar("AnyDataset")


def keep_images_encoded(dataset: AnyDataset) -> AnyDataset:
    """
    The same rows with `images`, or `image`, as dictionaries of `bytes` and `path`. Nothing is copied or read.

    Args:
        dataset (`Dataset` or `IterableDataset`):
            Rows with declared features, `images` or `image` among them; everything else comes back as it is.
    """
    if not isinstance(dataset, Dataset | IterableDataset) or dataset.features is None:
        return dataset
    if isinstance(dataset.features.get("image"), Image):
        return dataset.cast_column("image", Image(decode=False))
    feature = dataset.features.get("images")
    if not isinstance(feature, List | LargeList) or not isinstance(feature.feature, Image):
        return dataset
    encoded = type(feature)(Image(decode=False))
    if isinstance(dataset, IterableDataset):
        return dataset.cast_column("images", encoded)
    # `cast_column` would write the whole dataset anew, for a list of images is no feature of its own to it.
    dataset = copy.deepcopy(dataset)
    dataset.info.features["images"] = encoded
    return dataset


def decode_images(dataset: Dataset) -> Dataset:
    """
    The same rows with `images`, which are dictionaries of `bytes` and `path`, decoded when read. Nothing is copied.

    Args:
        dataset ([`~datasets.Dataset`]): rows with lists of encoded images.
    """
    # As above: the rows are stored alike either way.
    dataset = copy.deepcopy(dataset)
    dataset.info.features["images"] = List(Image())
    return dataset
