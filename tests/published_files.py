"""Writers of small, harmless files in the forms that benchmarks and public sets are published in."""

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@pytest.fixture(scope="session")
def encoded_image() -> Callable[..., bytes]:
    """`encoded_image("PNG")` is an encoded image of four pixels."""

    def encode(form: str = "PNG", colour: str = "green") -> bytes:
        buffer = io.BytesIO()
        Image.new("RGB", (2, 2), colour).save(buffer, form)
        return buffer.getvalue()

    return encode


@pytest.fixture(scope="session")
def write_images(encoded_image) -> Callable[..., None]:
    """`write_images(folder, "a/1.png", "2.jpg")` writes an image of the named format to each path."""

    def write(folder: Path, *names: str) -> None:
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded_image({"jpg": "JPEG", "webp": "WEBP"}.get(path.suffix[1:].lower(), "PNG")))

    return write


@pytest.fixture(scope="session")
def write_archive(encoded_image) -> Callable[..., None]:
    """`write_archive(path, "test/1.png")` packs an image under each name, as zip or tar by the path's suffix."""

    def write(path: Path, *names: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".tar":
            with tarfile.open(path, "w") as archive:
                for name in names:
                    member = tarfile.TarInfo(name)
                    member.size = len(encoded_image())
                    archive.addfile(member, io.BytesIO(encoded_image()))
        else:
            with zipfile.ZipFile(path, "w") as archive:
                for name in names:
                    archive.writestr(name, encoded_image())

    return write


@pytest.fixture(scope="session")
def write_json() -> Callable[[Path, Any], None]:
    def write(path: Path, value: Any) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = "\n".join(map(json.dumps, value)) if path.suffix == ".jsonl" else json.dumps(value, indent=2)
        path.write_text(lines, encoding="utf-8")

    return write


@pytest.fixture(scope="session")
def write_csv() -> Callable[..., None]:
    def write(path: Path, *rows: dict[str, Any], encoding: str = "utf-8") -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding=encoding, newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    return write
