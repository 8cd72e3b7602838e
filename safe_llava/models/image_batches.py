"""The images of a batch beside its prompts: which are whose, of which size, and that none is a video."""

import bisect
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch.nn import functional as F


IMAGE_ARGUMENTS = {"image_sizes", "batch_num_images"}
"""What processors of the family say of images beside their pixels."""


def require_sizes(image_sizes: Any) -> list[list[int]]:
    """Height and width of each image; raises a `ValueError` where they are missing, without which none can be cut."""
    if image_sizes is None:
        raise ValueError("`image_sizes` is missing. Pass everything that the processor gave.")
    return [list(map(int, size)) for size in getattr(image_sizes, "tolist", lambda: image_sizes)()]


def refuse_videos(arguments: Mapping[str, Any], mm_encoder_outputs: Mapping[str, Any] | None) -> None:
    """Raises a `ValueError` where a video would reach the language model, for the safety head reads images alone."""
    given = [name for name in ("pixel_values_videos", "image_sizes_videos") if arguments.get(name) is not None]
    if given or (mm_encoder_outputs or {}).get("video") is not None:
        raise ValueError(
            f"`{given[0] if given else 'mm_encoder_outputs'}` holds a video, which cannot be assessed. Give some of "
            "its frames as images of one row; each is assessed, and the gravest verdict decides."
        )


def share_images(num_placeholders: Sequence[int], counts: Sequence[int]) -> list[list[int]]:
    """
    The images of each row of a batch, by their indices.

    Args:
        num_placeholders (`Sequence[int]`): positions that each image takes.
        counts (`Sequence[int]`): placeholders that each row has.
    """
    ends = list(accumulate(num_placeholders))
    shares, first = [], 0
    for filled in accumulate(counts):
        last = bisect.bisect_right(ends, filled)
        shares.append(list(range(first, last)))
        first = last
    return shares


def join_images(rows: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """
    The images of rows that the processor encoded one by one, as it gives those of a batch.

    Args:
        rows (`Sequence[Mapping[str, torch.Tensor]]`):
            Of each row with images `pixel_values`, and what else the processor says of them.
    """
    joined = {name: [row[name] for row in rows] for name in (rows[0] if rows else ())}
    if joined and joined["pixel_values"][0].dim() == 5:  # Tiles that there are not are zeros, which nobody looks at.
        most = max(pixels.shape[1] for pixels in joined["pixel_values"])
        joined["pixel_values"] = [
            F.pad(pixels, (0,) * 7 + (most - pixels.shape[1],)) for pixels in joined["pixel_values"]
        ]
    return {name: torch.cat(values) for name, values in joined.items()}
