"""A folder of images: each file is an image, may hold one in a format that is not read, or is none."""

import os
from collections.abc import Iterator
from pathlib import Path

from ..models.image_formats import is_regular, may_hold_image
from .audit_row import AuditRow, printable_key


def list_folder(folder: Path, left_out: Path, not_images: list[str]) -> Iterator[AuditRow]:
    """
    Every file below a folder, in the order of their names; the key is the path from the folder.

    A row is whatever is an image or may hold one, by its name or by how it begins: also formats that are not read,
    such as SVG, PDF and archives, and whatever cannot be opened or is no regular file. Links to files are followed,
    links to folders are rows that say so.

    Args:
        folder (`Path`): the folder.
        left_out (`Path`): a folder below it that is not looked at: the audit's own.
        not_images (`list[str]`): gets the keys of all other files.

    Yields:
        [`AuditRow`]
    """
    for directory, subfolders, names in os.walk(folder, onerror=_raise):
        links = [name for name in subfolders if os.path.islink(os.path.join(directory, name))]
        own = [name for name in subfolders if Path(directory, name).absolute() == left_out.absolute()]
        subfolders[:] = sorted(set(subfolders) - {*links, *own})
        for name in sorted([*names, *links]):
            path = Path(directory, name)
            key = printable_key(path.relative_to(folder).as_posix())
            try:
                if not is_regular(path):
                    what = "a link to a folder, which is not followed" if name in links else "no file with an end"
                    yield AuditRow(key, problem=f"not a regular file: {key} is {what}")
                elif may_hold_image(path):
                    yield AuditRow(key, (path.absolute(),))
                else:
                    not_images.append(key)
            except OSError as error:
                kind = "missing" if isinstance(error, FileNotFoundError) else "broken"
                yield AuditRow(key, problem=f"{kind}: {key} cannot be opened: {error.strerror}")


def _raise(error: OSError) -> None:
    raise error
