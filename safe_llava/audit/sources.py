"""What can be audited: a folder of images, an image, JSON or csv, tar files, a dataset, a public set by its name."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import chain, islice
from pathlib import Path
from typing import Protocol

from ..data.source_datasets import load_source_dataset
from ..data.source_forms import FORMS_IN_WORDS, folder_of, form_of
from ..data.sources import PUBLIC_SETS, is_public_set, read_public_set
from ..models.image_formats import is_regular
from .audit_row import AuditRow, printable_key
from .data_files import list_data_files
from .dataset_source import DatasetSource
from .folder_metadata import described_rows
from .image_folder import list_folder
from .listed_rows import list_rows
from .manifest import ManifestSource, write_manifest
from .public_set_source import PublicSetSource
from .webdataset_source import WebdatasetSource


_OPTIONS_OF_DESCRIBED = ("image_folder", "image_columns", "split", "config_name", "streaming")
_OF_SPLITS = ("split", "config_name")
_OPTIONS = (*_OPTIONS_OF_DESCRIBED, "text_column", "key_column")


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
        source (`str`):
            A folder of images; an image; a `.json`, `.jsonl`, `.csv` or `.tsv` file, also in `.gz`; what
            [`~safe_llava.data.source_datasets.load_source_dataset`] takes; or a public set by its name.
        image_folder (`str`, *optional*):
            What the names of image files start from. Defaults to the folder that the source is or lies in.
        image_columns (`tuple[str, ...]`, *optional*): columns or fields with images. Found by themselves by default.
        text_column (`str`, *optional*): column or field of the question.
        key_column (`str`, *optional*): column or field of the key.
        split (`str`, *optional*, defaults to `"train"`): split of a dataset.
        config_name (`str`, *optional*): configuration of a Hub dataset.
        streaming (`bool`, *optional*, defaults to `False`): whether to stream a dataset.
        root (`str`, *optional*): where the files of a public set lie; by default its own dataset on the Hub.
    """

    source: str
    image_folder: str | None = None
    image_columns: tuple[str, ...] = ()
    text_column: str | None = None
    key_column: str | None = None
    split: str = "train"
    config_name: str | None = None
    streaming: bool = False
    root: str | None = None


def prepare_source(spec: SourceSpec, output_dir: Path, manifest: Path, shard_size: int) -> list[str]:
    """
    Writes the manifest of a source that needs one: a folder of images, an image, a JSON or csv file.

    Args:
        spec ([`SourceSpec`]): the source.
        output_dir (`Path`): the folder of the audit, which is not audited itself.
        manifest (`Path`): where the manifest goes.
        shard_size (`int`): rows of a shard.

    Returns:
        `list[str]`: the files of a folder that are no images.

    Raises:
        ValueError: if there is nothing to audit, or no telling what is.
        FileNotFoundError: if there is no such file.
    """
    if not spec.source:
        raise ValueError("The source is an empty text, as an unset variable of a shell gives. Name what to audit.")
    path, not_images, form = Path(spec.source), list[str](), form_of(spec.source)
    if is_public_set(spec.source):
        idle = ("image_columns", "text_column", "key_column", "config_name", "streaming")
        _refuse_options(spec, "a public set", *idle)
        return not_images
    _refuse_options(spec, f"no public set ({', '.join(PUBLIC_SETS)})", "root")
    if path.exists() and not path.is_dir() and not is_regular(path):
        raise ValueError(f"{path} is not a regular file; a source is a file that has an end, a folder or a Hub id")
    if form in ("json", "csv"):
        _refuse_options(spec, f"a {'JSON' if form == 'json' else form} file", "split", "config_name", "streaming")
        folder = Path(spec.image_folder or path.parent)
        if not folder.is_dir():
            raise ValueError(f"The image folder {folder} is not there")
        rows = list_rows(path, folder, spec.image_columns, spec.text_column, spec.key_column)
    elif path.is_dir() and (files := list_data_files(path, output_dir)).kind == "images":
        is_described = bool(files.metadata)
        _refuse_options(spec, "a folder of images", *(_OPTIONS_OF_DESCRIBED if is_described else _OPTIONS))
        seen: set[Path] = set()
        described = described_rows(path, files.metadata, spec.text_column, spec.key_column, seen)
        rows = chain(described, (row for row in list_folder(path, output_dir, not_images) if not seen & {*row.images}))
    elif form == "file":
        raise ValueError(f"{path} cannot be audited. A source is an image, {FORMS_IN_WORDS}")
    elif form == "image":
        _refuse_options(spec, "an image", *_OPTIONS)
        rows = iter([AuditRow(printable_key(path.name), (path.absolute(),))])
    else:
        if path.is_dir() and files.kind == "tables" and output_dir.absolute().is_relative_to(path.absolute()):
            raise ValueError(
                f"{output_dir} lies in the source, a folder of tables, and the verdicts would be read as rows of it: "
                f"choose an --output-dir outside of {path}"
            )
        return files.others if path.is_dir() else not_images
    first = list(islice(rows, 1))
    if not first:
        found = ", ".join(f"{count} {suffix}" for suffix, count in count_suffixes(not_images).items())
        raise ValueError(f"{path} has nothing to assess{f'; it holds {found}' if found else ''}")
    write_manifest((row for part in (first, rows) for row in part), manifest, shard_size)
    return not_images


def open_source(spec: SourceSpec, output_dir: Path, manifest: Path, shard_size: int) -> Source:
    """Opens a source for reading, after [`prepare_source`]."""
    if manifest.exists():
        return ManifestSource(manifest)
    if is_public_set(spec.source):
        rows = read_public_set(PUBLIC_SETS[spec.source], spec.root, spec.split, spec.image_folder)
        return PublicSetSource(rows, spec.split, shard_size)
    path = Path(spec.source)
    columns = (spec.image_columns, spec.text_column, spec.key_column)
    if path.is_dir() and (files := list_data_files(path, output_dir)).kind == "tars":
        _refuse_options(spec, "a folder of tar files", "image_folder")
        _refuse_options(spec, "a folder of tar files", *_OF_SPLITS)
        return WebdatasetSource(files.tars, spec.source, *columns)
    if form_of(spec.source) in ("parquet", "arrow", "saved"):
        _refuse_options(spec, "one set of rows", "split" if form_of(spec.source) == "saved" else "config_name")
    loaded = load_source_dataset(spec.source, spec.split, spec.config_name, spec.streaming)
    if isinstance(loaded, list):
        _refuse_options(spec, "tar files", "image_folder", *_OF_SPLITS)
        return WebdatasetSource(loaded, spec.source, *columns)
    folder = folder_of(spec.source) if spec.image_folder is None else Path(spec.image_folder)
    source = DatasetSource(loaded, spec.split, shard_size, *columns, folder)
    if not source.names_images:
        _refuse_options(spec, "a dataset that holds its images", "image_folder")
    return source


def pick_rows(source: Source, shard: int, places: list[int]) -> Iterator[AuditRow]:
    """
    Some rows of a shard. A source that tells its number of rows finds each at once; another one is read through.

    Args:
        source ([`Source`]): the source.
        shard (`int`): the shard.
        places (`list[int]`): the rows' places in the shard, sorted.
    """
    if source.num_rows is not None:
        yield from (next(source.rows(shard, place)) for place in places)
        return
    wanted = set(places)
    yield from (row for place, row in enumerate(islice(source.rows(shard), places[-1] + 1)) if place in wanted)


def count_suffixes(keys: list[str]) -> dict[str, int]:
    """How many of these files have which suffix, the most frequent first."""
    return dict(Counter(Path(key).suffix.lower() or "no suffix" for key in keys).most_common())


def _refuse_options(spec: SourceSpec, kind: str, *options: str) -> None:
    defaults = {field.name: field.default for field in fields(SourceSpec)}
    if given := [name for name in options if getattr(spec, name) != defaults[name]]:
        names = ", ".join(f"--{name.removesuffix('s').replace('_', '-')}" for name in given)
        raise ValueError(f"{spec.source} is {kind}: {names} would have no effect")
