"""The files below a folder, of which none is passed over in silence."""

import os
from pathlib import Path
from typing import NoReturn

from ..models.image_formats import is_regular


def list_files(folder: Path, left_out: Path | None = None) -> tuple[list[Path], list[Path]]:
    """
    What lies in a folder and its sub-folders, sorted. Links to folders are not followed.

    Args:
        folder (`Path`): the folder.
        left_out (`Path`, *optional*): a folder below it that is not looked at.

    Returns:
        `tuple[list[Path], list[Path]]`: the regular files, and the links to folders.

    Raises:
        OSError: if a folder cannot be read.
    """
    files: list[Path] = []
    links: list[Path] = []
    for directory, subfolders, names in os.walk(folder, onerror=_refuse):
        below = [Path(directory, name) for name in sorted(subfolders)]
        below = [path for path in below if left_out is None or path.absolute() != left_out.absolute()]
        links += [path for path in below if path.is_symlink()]
        subfolders[:] = [path.name for path in below]
        files += [path for path in (Path(directory, name) for name in sorted(names)) if _is_file(path)]
    return files, links


def require_all_seen(folder: Path, seen: dict[str, list[str]]) -> None:
    """
    Makes sure that a folder has no data file that no split takes, for splits are told by the names of files.

    Args:
        folder (`Path`): the folder.
        seen (`dict[str, list[str]]`): the files of each split.

    Raises:
        ValueError: if there is one, or a link to a folder, naming them.
        OSError: if a folder cannot be read.
    """
    taken = {os.path.realpath(file) for files in seen.values() for file in files}
    suffixes = {Path(file).suffix.lower() for file in taken}
    files, links = list_files(folder)
    unseen = [path for path in files if path.suffix.lower() in suffixes and os.path.realpath(path) not in taken]
    if unseen := unseen + links:
        names = ", ".join(str(path.relative_to(folder)) for path in unseen[:3]) + (", ..." if len(unseen) > 3 else "")
        splits = ", ".join(f"{split}: {len(files)}" for split, files in seen.items())
        raise ValueError(
            f"{folder} has {len(unseen)} files or links to folders that would not be seen: {names}. By their names "
            f"files belong to splits ({splits} files), and these to none. Name the files that you mean, such as "
            f"'{folder}/*{min(suffixes)}', or move these away"
        )


def _refuse(error: OSError) -> NoReturn:
    raise error


def _is_file(path: Path) -> bool:
    try:
        return is_regular(path)
    except OSError:  # A link to nothing. A folder of images makes a row of it.
        return False
