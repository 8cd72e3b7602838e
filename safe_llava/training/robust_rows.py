"""Which rows of a training batch are damaged, which are attacked, and which stay as they are."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL.Image import Image

from .damaged_images import damage_image


ATTACKED_ROWS = "attacked_rows"
"""The name in a batch of what [`RobustRows`] says of its images."""
_PARTS, _DAMAGED, _ATTACKED = 4, (0,), (1,)
"""Of so many parts of the rows with an image these are damaged and these attacked."""


@dataclass(frozen=True)
class RobustRows:
    """
    A quarter of the rows that have an image is damaged, another quarter is to be attacked, and half stays clean;
    labels and texts stay as they are. What is drawn depends on the seed and on what stands in the batch, so that a run
    that is resumed draws the same, and a row's lot is another in each epoch, where others stand beside it.

    Args:
        seed (`int`): of the draw.
    """

    seed: int

    def draw(self, texts: Sequence[str], images: Sequence[Sequence[Image]]) -> tuple[list[list[Image]], torch.Tensor]:
        """
        Changes some rows of a batch.

        Args:
            texts (`Sequence[str]`): of each row its text.
            images (`Sequence[Sequence[PIL.Image.Image]]`): of each row its images, in RGB.

        Returns:
            `tuple[list[list[PIL.Image.Image]], torch.LongTensor]`: of each row its images; and of each image, one row
            after the other, the row if that is to be attacked and -1 if not, of shape `(num_images,)`.
        """
        digest = zlib.crc32("\0".join(texts).encode())
        for image in (image for of_row in images for image in of_row):
            digest = zlib.crc32(image.tobytes(), digest)
        generator = np.random.default_rng([self.seed % 2**32, digest])
        rows = [row for row, of_row in enumerate(images) if of_row]
        # As many of each lot in every batch, as far as the number of rows allows.
        lots = (generator.permutation(len(rows)) + generator.integers(_PARTS)) % _PARTS
        damaged = {row for row, lot in zip(rows, lots) if lot in _DAMAGED}
        attacked = {row for row, lot in zip(rows, lots) if lot in _ATTACKED}
        changed = [
            [damage_image(image, generator) if row in damaged else image for image in of_row]
            for row, of_row in enumerate(images)
        ]
        owners = [row if row in attacked else -1 for row, of_row in enumerate(images) for _ in of_row]
        return changed, torch.tensor(owners, dtype=torch.long)
