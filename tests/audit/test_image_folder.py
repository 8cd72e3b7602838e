"""Every file of a folder is assessed, unreadable with its reason, or listed as no image; and no file can hang it."""

import os
import shutil
import socket
import warnings
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from safe_llava.models.image_formats import HEIF


UNREAD = {
    "a.jxl": (b"\xff\x0a\x01", "JPEG XL"),
    "boxed": (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    "a.svg": (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "bare": (b"\xef\xbb\xbf <SVG/>", "SVG"),
    "a.pdf": (b"%PDF-1.7", "PDF"),
    "posing.png": (b"%PDF-1.7", "PDF"),
    "a.7z": (b"7z\xbc\xaf\x27\x1c", "7z archive"),
    "a.rar": (b"Rar!\x1a\7\0", "RAR archive"),
    "a.txt.gz": (b"\x1f\x8b\x08", "gzip archive"),
    "a.tar": (b"a".ljust(257, b"\0") + b"ustar", "tar archive"),
    "a.eps": (b"%!PS-Adobe-3.0", "PostScript"),
    "a.psb": (b"", "PSB"),
    "a.nef": (b"II*\0\x08\0\0\0", "camera raw"),
    "a.dcm": (b"\0" * 128 + b"DICM", "DICOM"),
    "named-only.exr": (b"", "OpenEXR"),
}
READ_BY_CONTENT = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "ICO", "AVIF", "JPEG2000", "DDS", "QOI", "ICNS")
NO_IMAGES = {
    "a.txt": b"Hello",
    "b.py": b"",
    "c.json": b"{}",
    "d.mp4": b"\0\0\0\x18ftypmp42\0\0\0\0",
    "PK.md": b"PK is no zip",
}


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path / "images"


def test_a_format_that_is_known_and_not_read_is_a_row_that_names_it(audit, folder, rows_by_key):
    for name, (content, _) in UNREAD.items():
        (folder / name).write_bytes(content)
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("inside.txt", "a")
    audit(folder)
    rows = rows_by_key()
    assert rows.keys() == {*UNREAD, "a.zip"}
    for name, row in rows.items():
        assert row["reason"].startswith("format not read: ")
        assert UNREAD.get(name, (b"", "ZIP archive"))[1] in row["reason"]


@pytest.mark.skipif(bool(HEIF), reason="pillow-heif is installed")
def test_heic_says_what_to_install(audit, folder, rows_by_key):
    (folder / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (folder / "b").write_bytes(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic")
    audit(folder)
    assert all("pip install pillow-heif" in row["reason"] for row in rows_by_key().values())


def test_an_image_is_known_by_its_contents_even_when_it_is_cut_off(audit, folder, make_image, rows_by_key):
    for kind in READ_BY_CONTENT:
        make_image(0).save(folder / f"{kind}.dat", format=kind)
        whole = (folder / f"{kind}.dat").read_bytes()
        (folder / f"{kind}-head.dat").write_bytes(whole[:16])
    audit(folder)
    rows = rows_by_key()
    assert rows.keys() == {f"{kind}{end}.dat" for kind in READ_BY_CONTENT for end in ("", "-head")}
    assert {key for key, row in rows.items() if row["status"] == "assessed"} == {
        f"{kind}.dat" for kind in READ_BY_CONTENT
    }


def test_other_files_are_counted_and_listed(audit, folder, make_image, tmp_path):
    make_image(0).save(folder / "image.png")
    for name, content in NO_IMAGES.items():
        (folder / name).write_bytes(content)
    summary = audit(folder).summary
    assert summary["rows"] == 1
    assert summary["not_images"] == dict.fromkeys((".md", ".txt", ".py", ".json", ".mp4"), 1)
    assert (tmp_path / "audit" / "not-images.txt").read_text().split() == sorted(NO_IMAGES)


def test_what_is_no_regular_file_is_a_row_and_is_never_opened(audit, folder, make_image, rows_by_key, monkeypatch):
    make_image(0).save(folder / "image.png")
    (folder / "sub").mkdir()
    os.mkfifo(folder / "pipe.png")
    os.mkfifo(folder / "pipe")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "folder.png").symlink_to("sub", target_is_directory=True)
    (folder / "loop").symlink_to("loop")
    (folder / "nowhere").symlink_to("gone")
    monkeypatch.chdir(folder)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.jpg")
        audit(folder)
    kinds = {key: (row["reason"] or row["status"]).partition(":")[0] for key, row in rows_by_key().items()}
    irregular = dict.fromkeys(("pipe", "pipe.png", "zero.png", "folder.png", "socket.jpg"), "not a regular file")
    assert kinds == {"image.png": "assessed", "loop": "broken", "nowhere": "missing"} | irregular


def test_a_pipe_that_takes_an_images_place_meanwhile_is_not_waited_for(
    audit, folder, make_image, rows_by_key, tmp_path
):
    make_image(0).save(folder / "a.png")
    audit(folder)
    for path in (folder / "a.png", *(tmp_path / "audit" / "verdicts").iterdir()):
        path.unlink()
    os.mkfifo(folder / "a.png")
    audit(folder)
    assert rows_by_key()["a.png"]["reason"].startswith("not a regular file: ")


def test_the_audits_own_folder_is_not_audited(audit, folder, make_image, tmp_path):
    make_image(0).save(tmp_path / "a.png")
    shutil.rmtree(folder)
    summary = audit(tmp_path).summary
    assert (summary["rows"], summary["not_images"]) == (1, {})


def test_a_strip_that_would_not_fit_into_memory_when_scaled_is_not_scaled(audit, folder, rows_by_key):
    Image.new("RGB", (300_000, 1)).save(folder / "strip.png")
    audit(folder)
    assert rows_by_key()["strip.png"]["reason"].startswith("too narrow: ")


def test_pillows_warnings_do_not_stand_there_without_a_name(audit, folder, make_image):
    Image.new("1", (10_000, 10_000)).save(folder / "large.png")
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\xff\xff\xff\xff"
    make_image(0).save(folder / "exif.jpg", exif=exif)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        audit(folder)
    assert not [warning for warning in caught if "PIL" in warning.filename]
