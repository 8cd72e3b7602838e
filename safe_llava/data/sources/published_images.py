"""Finds the images that a published table names, in folders, zip and tar archives, and lists all that are missing."""

import logging
import tarfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from ...models.image_formats import is_image_file, is_image_name
from .published_tables import PublishedFileError, Record


logger = logging.getLogger(__name__)

MAX_IMAGE_BYTES = 256 * 1024**2
"""Largest image that is read out of an archive, so that a made-up one cannot fill the memory."""
_LFS_POINTER = b"version https://git-lfs"


class ImageFiles:
    """
    The images of a published table. What is missing is collected, so that [`require_all`] can name everything at once.

    Args:
        places (`Path`):
            Folders and `.zip` or `.tar` archives that names may start from, the first one that has an image wins.
            Those that do not exist are left out. Nothing is ever unpacked to disk: images of archives are returned
            as bytes.
    """

    def __init__(self, *places: Path):
        self.places = [place.absolute() for place in places]
        self.folders = [place for place in self.places if place.is_dir()]
        self.archives = [_index_archive(place) for place in self.places if place.is_file()]
        self.problems: dict[str, str] = {}
        self.other_suffix: dict[str, str] = {}
        self._found: dict[tuple[str, ...], Path | bytes] = {}
        self._stems: dict[Path, dict[str, list[Path]]] = {}

    def find(self, record: Record, *names: str) -> Path | bytes:
        """
        The image of a row. An image whose name ends otherwise than the table says, as in `1.webp` for `1.png`, is
        taken if no other place has the one that was named and it is the only one of that stem.

        Args:
            record ([`Record`]): the row, for messages.
            names (`str`): the image's name, and other spellings of it, tried in turn.

        Returns:
            `Path` or `bytes`: the file, or the encoded image out of an archive; empty where it is missing.
        """
        for name in names:
            if "\\" in name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise PublishedFileError(f"{record.place}: the image {name!r} is no path inside the folder.")
        if names not in self._found:
            self._found[names] = self._search(names)
        return self._found[names]

    def look_up(self, record: Record, name: str) -> tuple[list[Path | bytes], list[str]]:
        """
        The image of a row as [`find`] gives it, if it is there, and why it cannot be used: nothing, or one reason.

        Args:
            record ([`Record`]): the row, for messages.
            name (`str`): the image's name.
        """
        image = self.find(record, name)
        problem = self.problems.get(name)
        found = [image] if image else []
        return found, [] if problem is None else [f"{record.place}: image {name} {problem}"]

    def require_all(self) -> None:
        """
        Logs which images have another suffix than named.

        Raises:
            PublishedFileError: if images are missing or are none, naming all of them.
        """
        if self.other_suffix:
            pairs = ", ".join(f"{name} -> {other}" for name, other in self.other_suffix.items())
            logger.warning("%d images were found under another suffix: %s", len(self.other_suffix), pairs)
        if self.problems:
            searched = ", ".join(map(str, self.places))
            listed = "\n  ".join(f"{name} {problem}" for name, problem in self.problems.items())
            raise PublishedFileError(
                f"{len(self.problems)} images cannot be used. Searched: {searched}.\n  {listed}\n"
                "Download them again, or give the folder that holds them."
            )

    def _search(self, names: tuple[str, ...]) -> Path | bytes:
        for search in (self._in_folders, self._in_archives, self._of_other_suffix):
            for name in names:
                if (found := search(name)) is not None:
                    if problem := _why_no_image(found):
                        self.problems[name] = problem
                    return found
        self.problems.setdefault(names[0], "is missing")
        return b""

    def _in_folders(self, name: str) -> Path | None:
        return next((folder / name for folder in self.folders if (folder / name).is_file()), None)

    def _in_archives(self, name: str) -> bytes | None:
        for archive, members, read in self.archives:
            found = members.get(str(PurePosixPath(name)), [])
            if len(found) > 1:
                raise PublishedFileError(f"{archive}: {name!r} could be any of {', '.join(found)}.")
            if found:
                return read(found[0])
        return None

    def _of_other_suffix(self, name: str) -> Path | None:
        for folder in self.folders:
            others = self._of_stem(folder / name)
            if len(others) == 1:
                self.other_suffix[name] = others[0].name
                return others[0]
            if others:
                self.problems[name] = f"is missing, and {', '.join(other.name for other in others)} could all be it"
        return None

    def _of_stem(self, path: Path) -> list[Path]:
        if path.parent not in self._stems:
            stems: dict[str, list[Path]] = defaultdict(list)
            for item in sorted(path.parent.iterdir()) if path.parent.is_dir() else ():
                if is_image_name(item):
                    stems[item.stem].append(item)
            self._stems[path.parent] = stems
        return self._stems[path.parent].get(path.stem, []) if is_image_name(path) else []


def embedded_image(record: Record, field: str) -> bytes:
    """
    The encoded image in a field of a parquet row, as `datasets` stores it.

    Args:
        record ([`Record`]): the row.
        field (`str`): the field.

    Returns:
        `bytes`: the encoded image.

    Raises:
        PublishedFileError: if the field holds no image.
    """
    value = record.values.get(field)
    encoded = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(encoded, bytes) or _why_no_image(encoded):
        raise record.refuse(field, "an encoded image")
    return encoded


def _why_no_image(image: Path | bytes) -> str | None:
    start = image[:64] if isinstance(image, bytes) else _first_bytes(image)
    if start.startswith(_LFS_POINTER):
        return "is a Git LFS pointer, not the image; run `git lfs pull` in the clone"
    return None if is_image_file(image) else "is no image of a kind that is read"


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


def _index_archive(path: Path) -> tuple[Path, dict[str, list[str]], Callable[[str], bytes]]:
    """The archive, its members by every ending of their path (for some are packed with a folder), and a reader."""
    try:
        sizes, read = _open_zip(path) if zipfile.is_zipfile(path) else _open_tar(path)
    except (tarfile.TarError, zipfile.BadZipFile, OSError) as error:
        raise PublishedFileError(f"{path}: neither a zip nor a tar archive ({error}).") from error
    members = defaultdict(list)
    for name, size in sizes.items():
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts:
            raise PublishedFileError(f"{path}: the member {name!r} leaves the archive; it is not as published.")
        if size > MAX_IMAGE_BYTES:
            raise PublishedFileError(f"{path}: the member {name!r} has {size} bytes, too many for an image.")
        # macOS adds a shadow of each file that has its name but not its contents.
        if parts[0] != "__MACOSX":
            for start in range(len(parts)):
                members["/".join(parts[start:])].append(name)
    # The whole path of a member is its own, whatever else ends so.
    members.update({str(PurePosixPath(name)): [name] for name in sizes})
    return path, members, read


def _open_zip(path: Path) -> tuple[dict[str, int], Callable[[str], bytes]]:
    archive = zipfile.ZipFile(path)

    def read(name: str) -> bytes:
        try:
            return archive.read(name)
        except (zipfile.BadZipFile, zlib.error, RuntimeError) as error:
            raise PublishedFileError(f"{path}: the member {name!r} cannot be read ({error}).") from error

    return {info.filename: info.file_size for info in archive.infolist() if not info.is_dir()}, read


def _open_tar(path: Path) -> tuple[dict[str, int], Callable[[str], bytes]]:
    archive = tarfile.open(path)  # noqa: SIM115 - stays open for `read`; listing its members takes a pass over the file
    members = {member.name: member for member in archive if member.isfile()}

    def read(name: str) -> bytes:
        file = archive.extractfile(members[name])
        return b"" if file is None else file.read()

    return {name: member.size for name, member in members.items()}, read
