"""What a source is, by its name and by what lies there: the one list of forms that every tool goes by."""

from pathlib import Path
from typing import Literal

from ..models.image_formats import may_hold_image
from .sources import PUBLIC_SETS, is_public_set


Form = Literal["json", "csv", "parquet", "arrow", "tars", "saved", "saved splits", "folder", "image", "file", "hub"]

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")
WILDCARDS = "*?["
_SUFFIXES: dict[Form, tuple[str, ...]] = {
    "json": (".json", ".jsonl", ".json.gz", ".jsonl.gz"),
    "csv": (".csv", ".tsv", ".csv.gz", ".tsv.gz"),
    "parquet": (".parquet",),
    "arrow": (".arrow",),
    "tars": TAR_SUFFIXES,
}
_WITH_CONFIGURATIONS = ("folder", "hub")
FORMS_IN_WORDS = (
    ".json or .jsonl, .csv or .tsv (also in .gz), .parquet, .arrow, .tar, a folder of images, of data files or of "
    "`save_to_disk`, or a Hub id"
)


def form_of(source: str | Path) -> Form:
    """
    Tells what a source is. A file is told by its name, in any case, and may have wildcards where several are one
    source: parquet, arrow and tar files.

    Args:
        source (`str` or `Path`): what a user names.

    Returns:
        `str`: "json", "csv", "parquet", "arrow" or "tars" for files; "saved" or "saved splits" for what
        `save_to_disk` wrote; "folder" for another one; "image" for a single image, "file" for any other file; else
        "hub", which may be an id on the Hub.
    """
    path = Path(source)
    if path.is_dir():
        saved: dict[str, Form] = {"state.json": "saved", "dataset_dict.json": "saved splits"}
        return next((form for name, form in saved.items() if (path / name).is_file()), "folder")
    if (form := form_of_name(source)) is not None:
        return form
    return ("image" if may_hold_image(path) else "file") if path.is_file() else "hub"


def form_of_name(name: str | Path) -> Form | None:
    """The form of a file by its name alone; `None` if it is none of rows."""
    text = str(name).lower()
    return next((form for form, suffixes in _SUFFIXES.items() if text.endswith(suffixes)), None)


def folder_of(source: str | Path) -> Path | None:
    """What the names of image files in a source start from: the folder that it is or lies in; `None` on the Hub."""
    form = form_of(source)
    return None if form == "hub" else Path(source) if Path(source).is_dir() else Path(source).parent


def lists_rows(source: str | Path) -> bool:
    """Whether a source is a JSON or csv file, or a public set that is published so, without its images."""
    if is_public_set(source):
        return PUBLIC_SETS[str(source)].uses_image_folder
    return form_of(source) in ("json", "csv")


def may_name_images(source: str | Path) -> bool:
    """Whether the rows of a source may name their images by files; the samples of tar files hold theirs."""
    if is_public_set(source):
        return PUBLIC_SETS[str(source)].uses_image_folder
    return form_of(source) != "tars"


def has_configurations(source: str | Path) -> bool:
    """Whether a source may have configurations, as a folder of files and a dataset on the Hub may."""
    return not is_public_set(source) and form_of(source) in _WITH_CONFIGURATIONS


def has_splits(source: str | Path) -> bool:
    """Whether a source may have splits: files and a dataset that was saved alone have none."""
    return is_public_set(source) or form_of(source) in (*_WITH_CONFIGURATIONS, "saved splits")
