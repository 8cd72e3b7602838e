"""The published files of a set: on the disk or from the Hub, and rows of parquet files without their images."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow
import pyarrow.parquet
from huggingface_hub import snapshot_download
from huggingface_hub.utils import HFValidationError, validate_repo_id

from .public_set import PublicSet, SetRequest
from .published_tables import PublishedFileError, Record


_ROWS_AT_ONCE = 1000
_KINDS = {
    "text": (pyarrow.types.is_string, pyarrow.types.is_large_string),
    "number": (pyarrow.types.is_integer,),
    "yes or no": (pyarrow.types.is_boolean, pyarrow.types.is_string, pyarrow.types.is_large_string),
    "an image": (lambda kind: pyarrow.types.is_struct(kind) and {"bytes", "path"} <= {field.name for field in kind},),
    "text or a number": (pyarrow.types.is_integer, pyarrow.types.is_string, pyarrow.types.is_large_string),
}


def locate(public_set: PublicSet, root: str | Path | None, split: str) -> Path:
    """
    Where the published files of a split lie.

    Args:
        public_set ([`PublicSet`]): the set.
        root (`str` or `Path`, *optional*):
            A local copy, or a dataset on the Hub, which is fetched. Defaults to the set's own.
        split (`str`): the split.

    Returns:
        `Path`: the folder or file.

    Raises:
        ValueError: if there is no such split, or no `root` where the set is not on the Hub.
        OSError: if the files are not there, or the Hub refuses them, with its own message.
    """
    if split not in public_set.splits:
        raise ValueError(f"{public_set.name} has no split {split!r}: it has {', '.join(public_set.splits)}.")
    source = public_set.hub_id if root is None else str(root)
    if source is None:
        raise ValueError(
            f"{public_set.name} is not on the Hub. Get it from {public_set.home} and give the folder as `root`."
        )
    if root is not None and (path := Path(root).expanduser()).exists():
        if path.is_file() and len(public_set.splits) > 1:
            raise ValueError(
                f"{path} is a file, and nothing says of which split; give the folder of {public_set.title}."
            )
        return path.absolute()
    if isinstance(root, Path) or not _is_hub_id(source):
        raise FileNotFoundError(f"{root} does not exist; give your copy of {public_set.title}, or a dataset's Hub id.")
    patterns = [pattern.format(split=split) for pattern in public_set.hub_files]
    return Path(snapshot_download(source, repo_type="dataset", allow_patterns=patterns))


def find_tables(request: SetRequest, *patterns: str) -> list[Path]:
    """
    The parquet files of a split.

    Args:
        request ([`SetRequest`]): what is wanted. A root that is a file is the only table.
        patterns (`str`): where the tables stand, below the root.

    Returns:
        `list[Path]`: sorted.

    Raises:
        PublishedFileError: if there are none, with what the folder holds.
    """
    if request.root.is_file():
        return [request.root]
    found = sorted({path for pattern in patterns for path in request.root.glob(pattern)})
    if not found:
        holds = ", ".join(sorted(item.name for item in request.root.iterdir())[:10]) or "nothing"
        raise PublishedFileError(f"{request.root} must hold {' or '.join(patterns)}; it holds {holds}.")
    return found


def read_rows(
    paths: list[Path], columns: Mapping[str, str], optional: Mapping[str, str] | None = None
) -> Iterator[Record]:
    """
    The rows of parquet files, of which only the named columns are read.

    Args:
        paths (`list[Path]`): the files.
        columns (`Mapping[str, str]`): columns that must be there, each with what it holds: "text", "number", "yes or
            no", "text or a number", or "an image", which is checked and not read.
        optional (`Mapping[str, str]`, *optional*): the same of columns that may be missing.

    Yields:
        [`Record`], row by row.

    Raises:
        PublishedFileError: if a file is none, or a column is missing or of another kind.
    """
    for path in paths:
        try:
            file = pyarrow.parquet.ParquetFile(path)
        except (pyarrow.ArrowException, OSError) as error:
            raise PublishedFileError(f"{path}: no parquet file ({error}).") from error
        names = [*columns, *(name for name in optional or () if name in file.schema_arrow.names)]
        _check_schema(
            path,
            file.schema_arrow,
            {**columns, **{name: (optional or columns)[name] for name in names[len(columns) :]}},
        )
        wanted = [name for name in names if columns.get(name) != "an image"]
        number = 0
        for batch in file.iter_batches(_ROWS_AT_ONCE, columns=wanted):
            for values in batch.to_pylist():
                yield Record(f"{path}, row {number}", values)
                number += 1


def _check_schema(path: Path, schema: pyarrow.Schema, columns: Mapping[str, str]) -> None:
    if missing := [name for name in columns if name not in schema.names]:
        raise PublishedFileError(
            f"{path}: the columns {', '.join(map(repr, missing))} are missing; it has "
            f"{', '.join(map(repr, schema.names))}."
        )
    for name, kind in columns.items():
        found = schema.field(name).type
        if not any(is_kind(found) for is_kind in (*_KINDS[kind], pyarrow.types.is_null)):
            raise PublishedFileError(f"{path}: the column {name!r} must hold {kind}, not {found}.")


def _is_hub_id(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return name.count("/") == 1
