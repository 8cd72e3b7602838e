"""A small folder of images of every kind, sound and broken, and a guard to assess them."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from safe_llava.audit.run_audit import AuditOutcome, run_audit
from safe_llava.audit.sources import SourceSpec
from safe_llava.audit.verdict_table import read_verdicts


NUM_SOUND = 40
SHARD_SIZE = 8


@pytest.fixture(scope="session")
def guard_checkpoint(tiny_safe_llava, tiny_processor, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("guard")
    tiny_safe_llava.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def image_folder(make_image, tmp_path_factory) -> Path:
    """40 sound images, odd ones that can be read, and broken ones."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "sub").mkdir()
    for number in range(NUM_SOUND):
        make_image(number).save(folder / ("sub" if number % 2 else ".") / f"{number:02}.png")
    image = make_image(99)
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.quantize(8).save(folder / "palette.png")
    Image.fromarray(np.full((30, 40), 40_000, dtype=np.uint16)).save(folder / "sixteen-bit.png")
    image.save(folder / "animated.gif", save_all=True, append_images=[make_image(98)])
    image.save(folder / "wrongly-named.jpg", format="PNG")
    image.save(folder / "no-image-by-name.dat", format="JPEG")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.png").write_text("a text")
    (folder / "cut-off.png").write_bytes((folder / "00.png").read_bytes()[:300])
    (folder / "notes.txt").write_text("not an image, and not called one")
    return folder


@pytest.fixture
def encoded(make_image) -> Callable[[int], bytes]:
    """`encoded(seed)`: an image as PNG."""

    def encode(seed: int) -> bytes:
        file = io.BytesIO()
        make_image(seed).save(file, format="PNG")
        return file.getvalue()

    return encode


@pytest.fixture(scope="session")
def audit_into(guard_checkpoint) -> Callable[..., AuditOutcome]:
    """`audit_into(folder, source)` audits on the CPU, in small shards."""

    def run(folder: Path, source: object, shard_size: int = SHARD_SIZE, **options) -> AuditOutcome:
        spec_fields = {field: options.pop(field) for field in list(options) if field in SourceSpec.__annotations__}
        return run_audit(
            SourceSpec(str(source), **spec_fields),
            guard_checkpoint,
            folder,
            device="cpu",
            batch_size=3,
            shard_size=shard_size,
            workers=2,
            **options,
        )

    return run


@pytest.fixture
def audit(audit_into, tmp_path) -> Callable[..., AuditOutcome]:
    """Audits a source into `tmp_path / "audit"`."""

    def run(source: object, name: str = "audit", **options) -> AuditOutcome:
        return audit_into(tmp_path / name, source, **options)

    return run


@pytest.fixture(scope="session")
def whole_audit(audit_into, image_folder, tmp_path_factory) -> Path:
    """What an audit of `image_folder` leaves that nothing stopped. To be read only."""
    folder = tmp_path_factory.mktemp("whole") / "audit"
    audit_into(folder, image_folder)
    return folder


@pytest.fixture
def verdicts(tmp_path) -> Callable[..., pa.Table]:
    def read(name: str = "audit") -> pa.Table:
        return read_verdicts(tmp_path / name / "verdicts")

    return read


@pytest.fixture
def rows_by_key(verdicts) -> Callable[..., dict[str, dict]]:
    def read(name: str = "audit") -> dict[str, dict]:
        return {row["key"]: row for row in verdicts(name).to_pylist()}

    return read
