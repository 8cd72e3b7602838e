"""
Projected gradient steps on the pixels of a batch, against the safety head that trains on them (Madry et al., "Towards
Deep Learning Models Resistant to Adversarial Attacks", arXiv 1706.06083).
"""

from typing import Any

import torch
from transformers import PreTrainedModel

from ..models.safety_loss import has_label, safety_row_losses
from ..pixel_scale import LARGEST, PixelScale
from .training_row import SAFETY_COLUMNS


EPSILON = 8
"""Largest change of a pixel, of 255."""
STEPS = 3
_REACH = 2.5
"""All steps together could cross the allowed range about that often."""


def attack_pixels(
    model: PreTrainedModel, scale: PixelScale, inputs: dict[str, torch.Tensor], attacked_rows: torch.Tensor
) -> torch.Tensor:
    """
    The pixel values of a batch with those of some rows changed by at most `EPSILON`, from a random start up the loss
    of level and type. No weight gets a gradient, and no layer of the language model runs. Of an image that the model
    cuts each tile is changed by itself.

    Args:
        model ([`SafeLlavaForConditionalGeneration`]): not its PEFT, DDP or FSDP wrapper.
        scale ([`~safe_llava.pixel_scale.PixelScale`]): what the values stand for.
        inputs (`dict[str, torch.Tensor]`): the batch; its rows without a label stay as they are.
        attacked_rows (`torch.LongTensor` of shape `(num_images,)`): of each image its row, or -1 to leave it.

    Returns:
        `torch.FloatTensor`: of the shape of `inputs["pixel_values"]`.

    Raises:
        ValueError: if the vision tower passes no gradient on to the pixels.
    """
    values = inputs["pixel_values"]
    if not values.is_floating_point():  # As processors give them that neither rescale nor normalise.
        values = values.float()
    labelled = torch.stack([has_label(inputs[name]) for name in SAFETY_COLUMNS]).any(dim=0)
    images = ((attacked_rows >= 0) & labelled[attacked_rows.clamp(min=0)]).nonzero()[:, 0]
    if not len(images):
        return values
    rows, counts = attacked_rows[images].unique_consecutive(return_counts=True)
    original = scale.restore(values[images])
    lowest, highest = (original - EPSILON).clamp(min=0), (original + EPSILON).clamp(max=LARGEST)
    pixels = lowest + (highest - lowest) * torch.rand_like(original)
    with torch.enable_grad():
        prompt = _Prompt(model, inputs, images, rows, counts)
        for _ in range(STEPS):
            pixels.requires_grad_(True)
            loss = prompt.loss(scale.normalise(pixels).to(values.dtype))
            (gradient,) = torch.autograd.grad(loss, pixels, allow_unused=True)
            if gradient is None:
                raise ValueError(
                    f"`robust` follows the loss back to the pixels, and the vision tower "
                    f"({type(model.model.vision_tower).__name__}) passes no gradient on. Leave `robust` out."
                )
            stepped = pixels.detach() + _REACH * EPSILON / STEPS * gradient.sign()
            pixels = torch.minimum(torch.maximum(stepped, lowest), highest)
    changed = values.clone()
    changed[images] = scale.normalise(pixels).to(values.dtype)
    return changed


class _Prompt:
    """Some rows of a batch without their pixels, and what the head makes of them with others."""

    def __init__(
        self,
        model: PreTrainedModel,
        inputs: dict[str, torch.Tensor],
        images: torch.Tensor,
        rows: torch.Tensor,
        counts: torch.Tensor,
    ):
        self.model: Any = model.model
        of_images = {"image_sizes": lambda sizes: sizes[images], "batch_num_images": lambda _: counts}
        self.of_images = {name: of_images[name](inputs[name]) for name in model.image_arguments if name in inputs}
        self.inputs = {name: inputs[name][rows] for name in ("input_ids", "attention_mask", "labels", *SAFETY_COLUMNS)}
        with torch.no_grad():
            self.embeds = self.model.get_input_embeddings()(self.inputs["input_ids"])
        self.placeholders = self.model.find_placeholders(self.inputs["input_ids"], self.embeds)

    def loss(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Of level and type, over all rows."""
        features = self.model.get_image_features(pixel_values, return_dict=True, **self.of_images)
        mask, labels = self.inputs["attention_mask"], self.inputs["labels"]
        scores = self.model.safety_modules(self.embeds, self.placeholders, features, mask, labels)
        losses = [
            safety_row_losses(scores[f"{name}_logits"], self.inputs[f"safety_{name}"]) for name in ("level", "type")
        ]
        return torch.stack(losses).sum()
