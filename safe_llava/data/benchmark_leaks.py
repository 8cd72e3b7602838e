"""Rows that stand in a benchmark's test file, and so must not be trained on."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from .duplicate_rows import RowContent, digest_question
from .image_digests import ImageDigest, ImageDigests
from .near_duplicates import find_near
from .row_texts import normalize_question


TestRow = tuple[Sequence[Path | bytes], str]
"""A row of a benchmark: its images, as files or encoded, and its question."""
_ROWS_AT_ONCE = 256


@dataclass
class LeakCounts:
    """
    Rows of which a benchmark has a part, each counted once.

    Args:
        benchmark (`str`): its name.
        test_rows (`int`): how many rows it has.
        image_and_question (`int`): rows with an image of a test row and its question.
        image_only (`int`): rows with an image of a test row and another question.
        question (`int`): rows with the question of a test row that has no image.
        near (`int`): those of the first two whose image has no pixels of a test image, but nearly its perceptual hash.
    """

    benchmark: str
    test_rows: int = 0
    image_and_question: int = 0
    image_only: int = 0
    question: int = 0
    near: int = 0


def find_leaks(
    contents: list[RowContent], benchmarks: Mapping[str, Iterable[TestRow]], digests: ImageDigests
) -> tuple[dict[int, str], list[LeakCounts]]:
    """
    Finds the rows that a benchmark has. An image is the benchmark's where its pixels are, or where its perceptual hash
    differs in a few bits only, as that of a re-encoded or resized copy does. A row counts for every benchmark that
    has it.

    Args:
        contents (`list[RowContent]`): what each row shows and asks.
        benchmarks (`Mapping[str, Iterable]`): for each benchmark, by name, the images and the question of its rows.
        digests ([`ImageDigests`]): with perceptual hashes.

    Returns:
        `tuple[dict[int, str], list[LeakCounts]]`: for the position of each leaked row the first benchmark that has
        it; and how many there are, by benchmark.
    """
    leaked: dict[int, str] = {}
    counts = []
    for name, rows in benchmarks.items():
        tests = _TestFile(rows, digests)
        tests.look_for({image for content in contents for image in content.images})
        of_benchmark = LeakCounts(name, tests.num_rows)
        for row, content in enumerate(contents):
            if kind := tests.kind_of(content):
                leaked.setdefault(row, name)
                setattr(of_benchmark, kind, getattr(of_benchmark, kind) + 1)
                of_benchmark.near += kind != "question" and not tests.has_pixels(content)
        counts.append(of_benchmark)
    return leaked, counts


class _TestFile:
    """What is asked about each image of a benchmark."""

    def __init__(self, rows: Iterable[TestRow], digests: ImageDigests):
        self.num_rows = 0
        self.by_pixels: dict[bytes, set[bytes]] = defaultdict(set)
        self.by_hash: dict[str, set[bytes]] = defaultdict(set)
        self.near: dict[str, set[bytes]] = {}
        self.of_text_alone: set[bytes] = set()
        remaining = iter(rows)
        while batch := list(islice(remaining, _ROWS_AT_ONCE)):
            self.num_rows += len(batch)
            digests.read(image for images, _ in batch for image in images)
            for images, question in batch:
                asked = digest_question(normalize_question(question))
                for pixels, perceptual in (digests[image] for image in images):
                    self.by_pixels[pixels].add(asked)
                    self.by_hash[perceptual or ""].add(asked)
                if not images:
                    self.of_text_alone.add(asked)

    def look_for(self, images: set[ImageDigest]) -> None:
        """Compares the perceptual hashes of all training images at once, which takes a fraction of the time."""
        hashes, others = sorted({image.perceptual or "" for image in images}), list(self.by_hash)
        places = find_near(hashes, others)
        self.near = {own: self.by_hash[others[place]] for own, place in zip(hashes, places) if place >= 0}

    def has_pixels(self, content: RowContent) -> bool:
        return any(image.pixels in self.by_pixels for image in content.images)

    def kind_of(self, content: RowContent) -> str | None:
        """The field of [`LeakCounts`] that a row counts in."""
        found = [self.by_pixels[image.pixels] for image in content.images if image.pixels in self.by_pixels]
        found += [self.near[image.perceptual or ""] for image in content.images if image.perceptual in self.near]
        if found:
            return "image_and_question" if set.union(*found) & {*content.questions} else "image_only"
        return "question" if self.of_text_alone & {*content.questions} else None
