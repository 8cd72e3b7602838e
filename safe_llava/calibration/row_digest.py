"""What names labelled rows, so that a promise says on which it rests."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from ..data.encoded_images import keep_images_encoded
from .labelled_rows import Rows


def digest_rows(dataset: Dataset) -> str:
    """
    SHA-256 of all rows, with their images as they are encoded, in whatever order they come.

    Args:
        dataset ([`~datasets.Dataset`]): rows with `images`.
    """
    digests = sorted(_digest_row(row) for row in keep_images_encoded(dataset))
    return hashlib.sha256(b"".join(digests)).hexdigest()


def digest_file(path: Path) -> str:
    """SHA-256 of a file, as `sha256sum` prints it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def count_copies(rows: Rows) -> int:
    """How many rows have the scores and the labels of another one before them, as copies of an image do."""
    values = np.column_stack([rows.level_logits, rows.type_logits, rows.level, rows.type])
    return len(values) - len(np.unique(values, axis=0))


def digest_images(row: dict[str, Any]) -> bytes:
    """The SHA-256 digests of a row's images as they are encoded, one after the other."""
    encoded = (image["bytes"] or Path(image["path"]).read_bytes() for image in row["images"])
    return b"".join(hashlib.sha256(each).digest() for each in encoded)


def _digest_row(row: dict[str, Any]) -> bytes:
    digest = hashlib.sha256(digest_images(row))
    rest = {name: value for name, value in row.items() if name != "images"}
    digest.update(json.dumps(rest, sort_keys=True, default=str).encode())
    return digest.digest()
