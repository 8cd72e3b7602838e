"""
The images that Pillow tests itself with: whole, odd, broken and hostile ones, in 60 formats. Each is assessed,
unreadable, or no image, and `file`, which has nothing to do with Pillow, counts the same images.

Takes the sources of Pillow, which only a network has, so it is skipped without them:

    pip download pillow==12.0.0 --no-deps --no-binary :all:
    PILLOW_SDIST=pillow-12.0.0.tar.gz python -m pytest tests/audit/test_pillow_images.py -s
"""

import os
import shutil
import subprocess
import tarfile
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from safe_llava.audit import read_verdicts


SDIST = os.environ.get("PILLOW_SDIST")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(SDIST is None, reason="PILLOW_SDIST names no sources of Pillow"),
    pytest.mark.skipif(shutil.which("file") is None, reason="no program `file` on this machine"),
]
_HOLD_IMAGES = ("application/pdf", "application/postscript", "application/x-tar", "application/vnd.ms-office")


@pytest.fixture
def images(tmp_path) -> Path:
    with tarfile.open(str(SDIST)) as archive:
        members = [member for member in archive if "/Tests/images/" in member.name]
        archive.extractall(tmp_path / "sdist", members, filter="data")
    return next((tmp_path / "sdist").glob("*/Tests/images"))


def mime_types(folder: Path, names: list[str]) -> dict[str, str]:
    command = ["file", "--brief", "--mime-type", "--no-pad", "--", *names]
    found = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout
    return dict(zip(names, found.split("\n")[:-1], strict=True))


def reason_to_differ(name: str, mime: str, is_row: bool) -> str | None:
    """Why `file` and the audit may differ on whether this is an image."""
    is_named = Path(name).suffix.lower() in Image.registered_extensions()
    if not is_row:
        return "TGA has no mark to be known by, and `file` guesses" if mime == "image/x-tga" else None
    if mime in _HOLD_IMAGES or mime == "application/x-ole-storage":
        return "a document or archive that may hold images: a row of a format that is not read"
    if mime in ("video/x-fli", "video/x-flc"):
        return "an animation, which Pillow takes for an image"
    if mime == "text/plain" and is_named:
        return "an image that is written as text"
    if mime == "application/octet-stream":
        return "named like an image" if is_named else "an image by how it begins, which `file` does not know"
    return None


def test_every_file_is_assessed_or_unreadable_or_no_image_and_file_counts_the_same_images(audit, images, tmp_path):
    summary = audit(images, shard_size=256).summary
    rows = read_verdicts(tmp_path / "audit").to_pylist()
    not_images = (tmp_path / "audit" / "not-images.txt").read_text().split("\n")[:-1]
    files = sorted(path.relative_to(images).as_posix() for path in images.rglob("*") if path.is_file())
    assert sorted([row["key"] for row in rows] + not_images) == files

    keys = {row["key"] for row in rows}
    types = mime_types(images, files)
    differing = [name for name in files if types[name].startswith("image/") != (name in keys)]
    reasons = {name: reason_to_differ(name, types[name], name in keys) for name in differing}
    assert [name for name, reason in reasons.items() if reason is None] == []
    found_by_file = sum(mime.startswith("image/") for mime in types.values())
    more = sum(name in keys for name in differing)
    assert found_by_file == len(rows) - more + (len(differing) - more)
    print(f"\n{len(files)} files: {summary['assessed']} assessed, {summary['unreadable']} unreadable, ", end="")
    print(f"{len(not_images)} no images; {len(rows)} rows, {found_by_file} images by `file`")
    for (reason, is_row), count in Counter((reasons[name], name in keys) for name in differing).most_common():
        print(f"  {count:4} {'rows of the audit alone' if is_row else 'images of `file` alone'}: {reason}")
    print(summary["unreadable_reasons"])
