"""What can be audited: a folder of images, a JSON file with an image folder, a dataset."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from ..models.image_reading import is_image_name
from .audit_row import AuditRow
from .dataset_source import DatasetSource, data_file_builder, load_source_dataset
from .llava_json import list_json
from .manifest import ManifestSource, list_folder, write_manifest


class Source(Protocol):
    """
    Rows in shards. The order of the rows in a shard is always the same.

    Args:
        num_shards (`int`): how many shards there are.
        num_rows (`int`, *optional*): how many rows; `None` where only reading can tell.
    """

    num_shards: int
    num_rows: int | None

    def shard_rows(self, shard: int) -> int | None:
        """How many rows a shard has; `None` where only reading it can tell."""

    def rows(self, shard: int, start: int = 0) -> Iterator[AuditRow]:
        """The rows of a shard from row `start` on."""


@dataclass(frozen=True)
class SourceSpec:
    """
    What to audit, in the words of the command line.

    Args:
        source (`str`): a folder of images; a `.json` or `.jsonl` file; or what [`load_source_dataset`] takes.
        image_folder (`str`, *optional*): the folder of the images that JSON names. Defaults to the file's own.
        image_columns (`tuple[str, ...]`, *optional*): columns or fields with images. Found by themselves by default.
        text_column (`str`, *optional*): column or field of the question.
        key_column (`str`, *optional*): column or field of the key.
        split (`str`, *optional*, defaults to `"train"`): split of a dataset.
        config_name (`str`, *optional*): configuration of a Hub dataset.
        streaming (`bool`, *optional*, defaults to `False`): whether to stream a dataset.
    """

    source: str
    image_folder: str | None = None
    image_columns: tuple[str, ...] = ()
    text_column: str | None = None
    key_column: str | None = None
    split: str = "train"
    config_name: str | None = None
    streaming: bool = False


def prepare_source(spec: SourceSpec, manifest: Path, shard_size: int) -> Counter[str]:
    """
    Writes the manifest of a source that needs one: a folder of images or a JSON file.

    Args:
        spec ([`SourceSpec`]): the source.
        manifest (`Path`): where the manifest goes.
        shard_size (`int`): rows of a shard.

    Returns:
        `Counter[str]`: the number of files that were passed over because they are no images, by suffix.

    Raises:
        ValueError: if there is nothing to audit, or no telling what is.
        FileNotFoundError: if there is no such file.
    """
    passed_over: Counter[str] = Counter()
    path = Path(spec.source)
    if path.suffix in (".json", ".jsonl"):
        folder = Path(spec.image_folder or path.parent)
        if not folder.is_dir():
            raise ValueError(f"The image folder {folder} is not there")
        rows = list_json(path, folder, spec.image_columns, spec.text_column, spec.key_column)
    elif _is_image_folder(path):
        if spec.image_columns or spec.text_column or spec.key_column or spec.streaming:
            raise ValueError(f"{path} is a folder of images: columns and --streaming are for datasets")
        rows = list_folder(path, passed_over)
    else:
        return passed_over
    first = list(islice(rows, 1))
    if not first:
        found = ", ".join(f"{count} {suffix}" for suffix, count in passed_over.most_common(5))
        raise ValueError(f"{path} has nothing to assess{f'; it holds {found}' if found else ''}")
    write_manifest((row for part in (first, rows) for row in part), manifest, shard_size)
    return passed_over


def open_source(spec: SourceSpec, manifest: Path, shard_size: int) -> Source:
    """Opens a source for reading, after [`prepare_source`]."""
    if manifest.exists():
        return ManifestSource(manifest)
    dataset = load_source_dataset(spec.source, spec.split, spec.config_name, spec.streaming)
    return DatasetSource(dataset, spec.split, shard_size, spec.image_columns, spec.text_column, spec.key_column)


def _is_image_folder(path: Path) -> bool:
    if not path.is_dir() or any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
        return False
    data = next((file for file in path.rglob("*") if data_file_builder(file.name)), None)
    image = next((file for file in path.rglob("*") if is_image_name(file)), None)
    if data is not None and image is not None:
        raise ValueError(
            f"{path} holds data files ({data.name}) and images ({image.name}): name one of the two, such as "
            f"'{path}/*{data.suffix}' or a folder of images alone"
        )
    return data is None
