"""What a model makes of images: the features of each, where they stand in the prompts, and whether the two fit."""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch.nn import functional as F
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling


# What processors of the family say of images beside their pixels.
_IMAGE_ARGUMENTS = {"image_sizes", "batch_num_images"}


@dataclass
class SafeLlavaImageFeatures(BaseModelOutputWithPooling):
    """
    What `get_image_features` returns. `pooler_output` is a list with, for each image, the
    `(num_safety_tokens + num_rows_of_the_image, hidden_size)` rows [s2; h_i] that the language model reads; `None`
    from a guard.

    Args:
        patch_features (`torch.Tensor` of shape `(num_images, num_patches, vision_hidden_size)`):
            The vision tower's selected features h_o without the CLS token, from which the safety projector works. Of
            an image that is cut into tiles those of the base tile, which shows all of it.
        patch_grid (`tuple[int, int]`):
            Patches per column and per row.
        num_placeholders (`list[int]`):
            Positions that each image takes in the prompt.
    """

    patch_features: torch.Tensor | None = None
    patch_grid: tuple[int, int] | None = None
    num_placeholders: list[int] | None = None

    def find_rows(self, placeholders: torch.Tensor) -> torch.Tensor:
        """
        The row of the batch that each image belongs to, of shape `(num_images,)`.

        Args:
            placeholders (`torch.BoolTensor` of shape `(batch_size, sequence_length)`): where the images stand.
        """
        # Images fill the placeholders of the whole batch one after the other.
        last_placeholder = torch.tensor(self.num_placeholders, device=placeholders.device).cumsum(dim=0)
        return torch.bucketize(last_placeholder, placeholders.sum(dim=1).cumsum(dim=0))

    def select(self, images: Sequence[int]) -> "SafeLlavaImageFeatures":
        """The features of some images, by their indices, which do not hold on to those of the others."""
        sizes: Any = self.num_placeholders
        rows: Any = self.pooler_output
        patches: Any = self.patch_features
        return SafeLlavaImageFeatures(
            pooler_output=None if rows is None else [rows[image] for image in images],  # type: ignore[arg-type]
            patch_features=None if patches is None else patches[list(images)],
            patch_grid=self.patch_grid,
            num_placeholders=[sizes[image] for image in images],
        )

    @property
    def num_images(self) -> int:
        """How many images there are, in all rows of the batch."""
        return 0 if self.patch_features is None else len(self.patch_features)


def encode_images(
    model: PreTrainedModel,
    pixel_values: torch.Tensor | None,
    mm_encoder_outputs: dict[str, SafeLlavaImageFeatures] | None,
    **kwargs: Any,
) -> SafeLlavaImageFeatures | None:
    """
    The images' features: computed from `pixel_values`, or taken from `mm_encoder_outputs["image"]`. Of `kwargs`,
    which `get_image_features` gets, those that are `None` count as left out.
    """
    if pixel_values is None:
        return (mm_encoder_outputs or {}).get("image")
    if mm_encoder_outputs is not None:
        raise ValueError("You cannot specify both pixel_values and mm_encoder_outputs at the same time")
    kwargs = {name: value for name, value in kwargs.items() if value is not None}
    if unknown := sorted((kwargs.keys() & _IMAGE_ARGUMENTS).difference(model.image_arguments)):
        raise TypeError(f"`{unknown[0]}` means nothing to a {model.config.model_type}. Leave it out.")
    return model.get_image_features(pixel_values, return_dict=True, **kwargs)


def require_sizes(image_sizes: Any) -> list[list[int]]:
    """Height and width of each image; raises a `ValueError` where they are missing, without which none can be cut."""
    if image_sizes is None:
        raise ValueError("`image_sizes` is missing. Pass everything that the processor gave.")
    return torch.as_tensor(image_sizes).tolist()


def refuse_videos(arguments: Mapping[str, Any], mm_encoder_outputs: Mapping[str, Any] | None) -> None:
    """Raises a `ValueError` where a video would reach the language model, for the safety head reads images alone."""
    given = [name for name in ("pixel_values_videos", "image_sizes_videos") if arguments.get(name) is not None]
    if given or (mm_encoder_outputs or {}).get("video") is not None:
        raise ValueError(
            f"`{given[0] if given else 'mm_encoder_outputs'}` holds a video, which cannot be assessed. Give some of "
            "its frames as images of one row; each is assessed, and the gravest verdict decides."
        )


def check_placeholders(counts: list[int], image_outputs: SafeLlavaImageFeatures | None) -> None:
    """
    Raises a `ValueError` unless each row holds whole images and all rows together hold all images, by the number of
    placeholders in each row, and the images' features are those that the head reads.
    """
    known = ("patch_features", "patch_grid", "num_placeholders")
    if image_outputs is not None and any(getattr(image_outputs, name, None) is None for name in known):
        raise ValueError(
            '`mm_encoder_outputs["image"]` lacks what the safety head reads. Pass what '
            "`model.get_image_features(pixel_values)` of this very model returned, or `pixel_values`."
        )
    sizes: Any = [] if image_outputs is None else image_outputs.num_placeholders
    ends = {0, *accumulate(sizes)}
    if sum(counts) != sum(sizes) or not ends.issuperset(accumulate(counts)):
        tokens = f" of {', '.join(map(str, sorted(set(sizes))))} tokens each" if sizes else ""
        raise ValueError(
            f"Images and placeholders do not match: the rows of `input_ids` hold {counts} image tokens, and there are "
            f"{len(sizes)} images{tokens}. Build both with one call of the processor."
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


def join_images(rows: Sequence[Mapping[str, Any]], image_arguments: Sequence[str]) -> dict[str, torch.Tensor]:
    """
    The images of rows that the processor encoded one by one, as it gives those of a batch.

    Args:
        rows (`Sequence[Mapping]`): of each row with images `pixel_values` and what else there is of them.
        image_arguments (`Sequence[str]`): the names of what else there may be.
    """
    names = [name for name in ("pixel_values", *image_arguments) if any(name in row for row in rows)]
    joined = {name: [row[name] for row in rows] for name in names}
    if joined and joined["pixel_values"][0].dim() == 5:  # Tiles that there are not are zeros, which nobody looks at.
        most = max(pixels.shape[1] for pixels in joined["pixel_values"])
        joined["pixel_values"] = [
            F.pad(pixels, (0,) * 7 + (most - pixels.shape[1],)) for pixels in joined["pixel_values"]
        ]
    return {name: torch.cat(values) for name, values in joined.items()}
