"""The guard's forward without anything that a trace would freeze: what is exported."""

from typing import Any

import torch
from torch import nn

from ..models.modeling_safety_guard import SafetyClassificationMixin
from ..models.safety_familiarity import Familiarity
from ..models.safety_head import is_decided, raise_untaught_levels
from ..models.safety_modules import read_patches


INPUTS = ("input_ids", "text_mask", "pixel_values", "images", "image_rows")
OUTPUTS = ("raw_level_logits", "level_logits", "type_logits", "is_decided", "trusted")
NOVELTY = "novelty"
"""Behind these, where the guard knows familiar images."""


class TraceableGuard(nn.Module):
    """
    Takes what is text from outside, so that no prompt is looked into, and what each row looks at, so that an image is
    encoded once and assessed in as many rows as wanted.

    Args:
        guard ([`SafetyClassificationMixin`]): the guard, of any LLaVA of the family.
    """

    def __init__(self, guard: SafetyClassificationMixin):
        super().__init__()
        self.guard = guard
        record = guard.config.safety_familiarity
        self.familiarity = None if record is None else Familiarity.from_record(record)
        self.eval()

    def forward(
        self,
        input_ids: torch.LongTensor,
        text_mask: torch.Tensor,
        pixel_values: torch.Tensor,
        images: torch.LongTensor,
        image_rows: torch.LongTensor,
    ) -> tuple[torch.Tensor, ...]:
        """
        Args:
            input_ids (`torch.LongTensor` of shape `(num_rows, sequence_length)`): the prompts.
            text_mask (`torch.BoolTensor` of shape `(num_rows, sequence_length)`): where their text stands.
            pixel_values (`torch.Tensor` of shape `(num_images, num_channels, height, width)`): the images; where the
                model cuts them, their base tiles.
            images (`torch.LongTensor` of shape `(num_looks,)`): an image that a row looks at.
            image_rows (`torch.LongTensor` of shape `(num_looks,)`): that row.

        Returns:
            `tuple[torch.Tensor, ...]`: by [`OUTPUTS`] the head's level logits, those with untaught levels raised, the
            type logits, whether the head's own logits decide something, and whether the verdict can be trusted; then
            how unfamiliar the images are, where the guard knows.
        """
        model: Any = self.guard.model
        modules = model.safety_modules
        projector, head = modules.require_head()
        outputs = model.vision_tower(pixel_values, output_hidden_states=model.vision_layers, return_dict=True)
        patches, grid = read_patches(model.config, outputs.hidden_states, model.vision_layers, pixel_values.shape)
        text_embeds = self.guard.get_input_embeddings()(input_ids)
        tokens = text_embeds.new_zeros(0, text_embeds.shape[-1])
        if modules.tokens is not None:
            tokens = modules.tokens()[0].to(text_embeds.dtype)
        features = projector(patches, grid)[images].to(text_embeds.dtype)
        raw, types = head(text_embeds, text_mask, tokens, features, image_rows)
        levels = raise_untaught_levels(raw, self.guard.config.safety_training)
        verdict = raw, levels, types, is_decided(raw, types), is_decided(levels, types)
        if self.familiarity is None:
            return verdict
        return *verdict, self.familiarity.measure_rows(patches[images], image_rows, input_ids.shape[0])


def trace(guard: SafetyClassificationMixin, height: int, width: int) -> torch.export.ExportedProgram:
    """
    The forward as a graph for any number of rows, tokens and images of one size: what ONNX is made of, and what
    AOTInductor takes.
    """
    inputs = _example_inputs(guard, height, width)
    return torch.export.export(TraceableGuard(guard), inputs, dynamic_shapes=_dynamic_shapes())


def _example_inputs(guard: SafetyClassificationMixin, height: int, width: int) -> tuple[torch.Tensor, ...]:
    """Inputs of which every size is another, and none is 0 or 1, which a trace would take for constants."""
    channels = getattr(guard.config.vision_config, "num_channels", 3)
    return (
        torch.zeros((3, 11), dtype=torch.long),
        torch.ones((3, 11), dtype=torch.bool),
        torch.zeros((4, channels, height, width)),
        torch.tensor([0, 1, 2, 3, 0]),
        torch.tensor([0, 1, 1, 2, 2]),
    )


def _dynamic_shapes() -> tuple[dict[int, torch.export.Dim], ...]:
    """Which sizes of the inputs may be any: rows, tokens, images and looks; images all have one size."""
    rows, length, images, looks = (torch.export.Dim(name, min=1) for name in ("rows", "length", "images", "looks"))
    return {0: rows, 1: length}, {0: rows, 1: length}, {0: images}, {0: looks}, {0: looks}
