"""Rows of a benchmark as inspect's samples."""

import base64
import hashlib
import io
import random
from collections.abc import Sequence
from pathlib import Path

from inspect_ai.dataset import Sample
from inspect_ai.model import ChatMessageUser, Content, ContentImage, ContentText
from PIL import Image, UnidentifiedImageError

from ...models.image_formats import pillow_format_of_name
from ...models.image_reading import UnreadableImageError, read_image
from ..benchmarks.benchmark_row import BenchmarkRow


JUDGED_FORMATS = ("GIF", "JPEG", "PNG", "WEBP")
"""What judges behind an OpenAI-compatible endpoint decode. Other images are sent as PNG."""


def to_sample(row: BenchmarkRow, benchmark: str, split: str) -> Sample:
    """
    One row as a sample: the images, then the question. Images in files are left there; inspect reads them when the
    sample runs.

    Args:
        row ([`BenchmarkRow`]): the row.
        benchmark, split (`str`): where it is from.

    Returns:
        `Sample`: its metadata has `benchmark`, `split`, `subset`, `risk_type` and `harm`, which is `"harmful"` where
        a safe model should decline or warn and `"harmless"` where it should help.

    Raises:
        ValueError: if an image cannot be read, with the row's id.
    """
    try:
        parts = [ContentImage(image=_to_reference(source)) for source in row.images]
    except (OSError, UnreadableImageError) as error:
        raise ValueError(f"Row {row.id!r} has an image that cannot be read: {error}") from error
    content: list[Content] = [*parts, ContentText(text=row.question)]
    return Sample(
        id=row.id,
        input=[ChatMessageUser(content=content)],
        target=row.reference or "",
        metadata={
            "benchmark": benchmark,
            "split": split,
            "subset": row.subset,
            "risk_type": row.risk_type,
            "harm": "harmful" if row.is_harmful else "harmless",
        },
    )


def draw_rows(rows: Sequence[BenchmarkRow], limit: int | None, seed: int) -> list[BenchmarkRow]:
    """
    Draws rows over the whole benchmark, whose files are sorted by subset.

    Args:
        rows (`Sequence[BenchmarkRow]`): all of them.
        limit (`int`, *optional*): at most so many.
        seed (`int`): of the draw.

    Returns:
        `list[BenchmarkRow]`: in their order in the benchmark.
    """
    if limit is None or limit >= len(rows):
        return list(rows)
    return [rows[place] for place in sorted(random.Random(seed).sample(range(len(rows)), limit))]


def digest_rows(rows: Sequence[BenchmarkRow]) -> str:
    """
    Tells whether two results are of the same questions.

    Args:
        rows (`Sequence[BenchmarkRow]`): what is asked.

    Returns:
        `str`: the start of the SHA-256 of all of it, the images included.
    """
    digest = hashlib.sha256()
    for row in rows:
        digest.update(repr((row.id, row.question, row.is_harmful, row.subset, row.risk_type, row.reference)).encode())
        for source in row.read_images():
            digest.update(hashlib.sha256(source).digest())
    return digest.hexdigest()[:16]


def _to_reference(source: bytes | Path) -> str:
    """A file whose name tells its format, or else a data URI."""
    try:
        file = source if isinstance(source, Path) else io.BytesIO(source)
        with Image.open(file, formats=JUDGED_FORMATS) as opened:
            file_format = str(opened.format)
    except UnidentifiedImageError:
        buffer = io.BytesIO()
        read_image(source).image.save(buffer, format="PNG")
        return _to_data_uri(buffer.getvalue(), "PNG")
    if isinstance(source, bytes):
        return _to_data_uri(source, file_format)
    if pillow_format_of_name(source) == file_format:
        return str(source.absolute())
    return _to_data_uri(source.read_bytes(), file_format)


def _to_data_uri(source: bytes, file_format: str) -> str:
    return f"data:{Image.MIME[file_format]};base64,{base64.b64encode(source).decode()}"
