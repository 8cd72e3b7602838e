"""Rows that ask the same question about the same images, and those of them whose labels contradict each other."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from datasets import Dataset

from .encoded_images import keep_images_encoded
from .image_digests import ImageDigest, ImageDigests
from .label_parsing import SET_COLUMNS, UNLABELLED
from .row_texts import questions_of


_ROWS_AT_ONCE = 256
_LABELS = (*SET_COLUMNS, *SET_COLUMNS.values())


@dataclass(frozen=True)
class RowContent:
    """
    What a row shows and asks.

    Args:
        images (`tuple[ImageDigest, ...]`): its images, in their order.
        questions (`tuple[bytes, ...]`): digests of what the user says, turn by turn.
    """

    images: tuple[ImageDigest, ...]
    questions: tuple[bytes, ...]

    @property
    def key(self) -> tuple:
        """Equal where the same questions are asked about the same pixels."""
        return tuple(image.pixels for image in self.images), self.questions


@dataclass(frozen=True)
class Duplicates:
    """
    Rows that another one comes before.

    Args:
        first (`dict[int, int]`): for the position of each later row that of the first with the same content.
        contradictions (`tuple[int, ...]`): those of the later rows whose labels cannot be right if the first's are.
    """

    first: dict[int, int]
    contradictions: tuple[int, ...]


def digest_question(question: str) -> bytes:
    """A few bytes for a normalised question."""
    return hashlib.blake2b(question.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def read_contents(dataset: Dataset, digests: ImageDigests) -> list[RowContent]:
    """
    What each row shows and asks. Images that have no digest yet are decoded, a few at a time.

    Args:
        dataset ([`~datasets.Dataset`]): rows of our columns, whose images can be decoded.
        digests ([`ImageDigests`]): what is known already; gets the rest.
    """
    texts = [name for name in ("messages", "prompt", "completion") if name in dataset.column_names]
    rows = iter(keep_images_encoded(dataset.select_columns([*texts, "images"])))
    contents = []
    while batch := list(islice(rows, _ROWS_AT_ONCE)):
        digests.read(image for row in batch for image in row["images"] or [])
        for row in batch:
            images = tuple(digests[image] for image in row["images"] or [])
            contents.append(RowContent(images, tuple(map(digest_question, questions_of(row)))))
    return contents


def find_duplicates(dataset: Dataset, contents: list[RowContent], rows: Iterable[int]) -> Duplicates:
    """
    Finds rows that show the same pixels and ask the same questions, whatever they answer.

    Args:
        dataset ([`~datasets.Dataset`]): the rows, with their labels.
        contents (`list[RowContent]`): of each row.
        rows (`Iterable[int]`): positions of the rows that are compared, the one to keep before its copies.
    """
    first_of: dict[tuple, int] = {}
    first: dict[int, int] = {}
    for row in rows:
        found = first_of.setdefault(contents[row].key, row)
        if found != row:
            first[row] = found
    labels = dataset.select_columns([name for name in _LABELS if name in dataset.column_names])
    return Duplicates(first, tuple(row for row, copied in first.items() if _contradict(labels[row], labels[copied])))


def _contradict(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    for label, column in SET_COLUMNS.items():
        possible = [set(row.get(column) or ()) or {row[label]} - {UNLABELLED} for row in (one, other)]
        if all(possible) and not set.intersection(*possible):
            return True
    return False
