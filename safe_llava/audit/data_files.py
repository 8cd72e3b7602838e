"""A folder on disk: images, tar files or tables, and what lies beside them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
from datasets import Features

from ..data.folder_files import list_files
from ..data.source_forms import form_of, form_of_name
from ..models.image_formats import format_of_name, is_archive, may_hold_image
from .audit_row import printable_key
from .dataset_source import find_image_columns
from .folder_metadata import METADATA_FILES


@dataclass
class DataFiles:
    """
    What a folder holds.

    Args:
        kind (`str`): "saved" (by `save_to_disk`), "images", "tars" or "tables": what of it is audited.
        tars (`list[str]`): its tar files, sorted.
        others (`list[str]`): what lies beside tar files or tables and is no image.
        metadata (`list[Path]`): what describes images.
    """

    kind: Literal["saved", "images", "tars", "tables"]
    tars: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    metadata: list[Path] = field(default_factory=list)


def list_data_files(folder: Path, left_out: Path) -> DataFiles:
    """
    Tells what of a folder is to be audited.

    img2dataset leaves three forms, and each is audited as it lies: tar files beside tables of metadata, images beside
    such tables, and tables that hold the images.

    Args:
        folder (`Path`): the folder.
        left_out (`Path`): a folder below it that is not looked at: the audit's own.

    Returns:
        [`DataFiles`]

    Raises:
        ValueError: if it holds images in more than one of these ways, so that there is no telling what is meant, or
            beside tar files or tables what would not be seen.
        OSError: if a folder below it cannot be read.
    """
    if form_of(folder) != "folder":
        return DataFiles("saved")
    files, links = list_files(folder, left_out)
    tars = [path for path in files if form_of_name(path) == "tars"]
    data = [path for path in files if form_of_name(path) in ("parquet", "arrow")]
    tables = [path for path in data if _holds_images(path)]
    images = [path for path in files if (name := format_of_name(path)) and not is_archive(name)]
    beside = [path for path in images or tars or tables if path.suffix != tables[0].suffix] if tables else []
    if beside:
        kind = "images" if images else "others in another form"
        raise ValueError(
            f"{folder} holds data files ({tables[0].name}) and {kind} ({beside[0].name}): name one of the two, such "
            f"as '{folder}/*{tables[0].suffix}' or a folder of images alone"
        )
    if images or not (tars or tables):
        return DataFiles("images", metadata=[path for path in files if path.name in METADATA_FILES])
    others = [path for path in files if path not in set(tars if tars else data)]
    if unseen := [*links, *(path for path in others if may_hold_image(path))]:
        raise ValueError(
            f"{folder} holds data files ({(tars or tables)[0].name}) and {unseen[0].name}, which would not be seen"
        )
    keys = [printable_key(path.relative_to(folder).as_posix()) for path in others]
    return DataFiles("tars" if tars else "tables", list(map(str, tars)), keys)


def _holds_images(path: Path) -> bool:
    """Whether a table has a column of images. One that cannot be read may have one."""
    try:
        if form_of_name(path) == "parquet":
            schema = pq.read_schema(path)
        else:
            with pa.memory_map(str(path)) as file:
                schema = pa.ipc.open_stream(file).schema
        return bool(find_image_columns(Features.from_arrow_schema(schema)))
    except (OSError, ValueError, pa.ArrowException):
        return True
