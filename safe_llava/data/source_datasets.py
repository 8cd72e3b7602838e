"""Datasets of the HuggingFace libraries, from the Hub or from data files, loaded or streamed."""

import glob
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datasets import Dataset, IterableDataset, load_dataset_builder, load_from_disk
from datasets.packaged_modules.webdataset.webdataset import WebDataset

from .folder_files import require_all_seen
from .source_forms import WILDCARDS, form_of
from .tar_samples import expand_urls


_ROWS_AT_ONCE = 100


def load_source_dataset(
    source: str, split: str = "train", config_name: str | None = None, streaming: bool = False
) -> Dataset | IterableDataset | list[str]:
    """
    Loads a dataset.

    Args:
        source (`str`):
            A Hub id; a folder with data files or written by `save_to_disk`; or files: `.parquet`, `.arrow`, or
            `.tar` and `.tar.gz` in webdataset's form, with wildcards if there are several.
        split (`str`, *optional*, defaults to `"train"`): the split.
        config_name (`str`, *optional*): the configuration of a Hub dataset.
        streaming (`bool`, *optional*, defaults to `False`): read while assessing in place of downloading first.

    Returns:
        `Dataset`, `IterableDataset` where it is streamed, or, of webdataset's form, the names of the tar files.

    Raises:
        ValueError: if it cannot be loaded, the split is not there, or `save_to_disk`'s format is to be streamed.
    """
    folder, form = Path(source), form_of(source)
    is_saved = form in ("saved", "saved splits")
    if is_saved and streaming:
        raise ValueError(f"{source} was written by `save_to_disk` and is read where it lies: leave --streaming out")
    builder = form if form in ("parquet", "arrow") else None
    if form == "tars":
        return expand_urls(source)
    is_named = folder.exists()
    if builder is not None and not is_named:
        expand_urls(source)
    if builder is None and not is_named and any(wildcard in source for wildcard in WILDCARDS):
        raise ValueError(f"{source}: wildcards are for .parquet, .arrow and .tar files; of images name the folder")
    try:
        if is_saved:
            dataset = load_from_disk(source)
        else:
            # A folder that is called "parquet" is not the format of that name.
            path = builder or (str(folder.absolute()) if folder.is_dir() else source)
            # Brackets in the name of a file that is there are no wildcards.
            files = glob.escape(source) if is_named else source
            options: dict[str, Any] = {"name": config_name} if builder is None else {"data_files": {split: files}}
            # By its own choice, the first row group's size, it cannot read a file without rows.
            options |= {"batch_size": _ROWS_AT_ONCE} if builder == "parquet" else {}
            loader = load_dataset_builder(path, **options)
            if folder.is_dir() and config_name is None:
                require_all_seen(folder.absolute(), loader.config.data_files or {})
            if isinstance(loader, WebDataset):
                return _files_of_split(source, loader.config.data_files, split)
            if streaming:
                return loader.as_streaming_dataset(split)
            loader.download_and_prepare()
            dataset = loader.as_dataset(split)
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # Whatever a file format, the Hub or a network raises.
        cause = error.__cause__ or error
        where = "" if folder.exists() or builder is not None else " (and there is no such file or folder here)"
        raise ValueError(f"{source} cannot be loaded: {type(cause).__name__}: {cause}{where}") from error
    return _files_of_split(source, dataset, split) if isinstance(dataset, dict) else dataset


def _files_of_split(source: str, splits: Mapping[str, Any], split: str) -> Any:
    if split not in splits:
        raise ValueError(
            f"{source} has no split {split!r}, but {', '.join(map(str, splits))}. "
            "Name one of them (`split`, `--split`)."
        )
    return splits[split]
