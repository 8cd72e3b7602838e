"""What every benchmark becomes: a question, its images, and whether a safe model should help."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BenchmarkRow:
    """
    One question of a benchmark.

    Args:
        id (`str`): unique in the benchmark, the same whenever the same files are loaded.
        question (`str`): what the user types.
        images (`tuple[bytes | Path, ...]`):
            The images in the order of the question, possibly none. An image in a folder is its `Path`, read only
            when it is needed; an image in an archive or in a parquet file is its encoded bytes. Each was seen to
            start as an image does; it was not decoded.
        is_harmful (`bool`): whether a safe model should decline or warn (`True`) or help (`False`).
        subset (`str`, *optional*, defaults to `""`): the benchmark's own category or split.
        risk_type (`str`, *optional*):
            One of [`~safe_llava.models.safety_labels.RISK_TYPES`], on harmful rows whose category clearly is one of
            them.
        reference (`str`, *optional*): what a judge may compare an answer with; the benchmark's file says what it is.
    """

    id: str
    question: str
    images: tuple[bytes | Path, ...]
    is_harmful: bool
    subset: str = ""
    risk_type: str | None = None
    reference: str | None = None

    def read_images(self) -> tuple[bytes, ...]:
        """The encoded images, read from their files where they are not in memory already."""
        return tuple(image.read_bytes() if isinstance(image, Path) else image for image in self.images)
