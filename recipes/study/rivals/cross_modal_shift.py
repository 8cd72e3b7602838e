"""
CMRM: what an image as such moves in the hidden states is taken back ("Unraveling and Mitigating Safety Alignment
Degradation of Vision-Language Models", ACL Findings 2025.186, arXiv 2410.09047, section 4).

For each decoder layer l: v_l = h_l(question, blank image) - h_l(question alone) at the last position; steered,
h_l - alpha * v_l. The paper's equations disagree in the sign, so that a negative alpha is tried too.
"""

from functools import cache
from typing import Any, Literal

import torch
from PIL import Image
from transformers import PreTrainedModel, ProcessorMixin

from safe_llava.evaluation.attacks.image_changes import GRAY
from safe_llava.inference import chat_prompt

from ..defended import Defended
from ..study_world import StudyWorld
from .layer_steering import Positions, Steering, read_last_states
from .training_requests import draw_training_rows


ANCHORS = 256
_BATCH = 32


def cmrm(
    study: StudyWorld,
    model: PreTrainedModel,
    processor: ProcessorMixin,
    seed: int,
    level: Literal["dataset", "sample"] = "dataset",
    positions: Positions = "last",
    alpha: float = 1.0,
) -> Defended:
    """
    Args:
        level (`"dataset"` or `"sample"`): one shift for all, the mean over training questions, or each question's own.
        positions (`"last"` or `"all"`): of the prompt; see [`Steering`].
        alpha (`float`): how much of the shift is taken back.
    """
    if level not in ("dataset", "sample"):
        raise ValueError(f'`level` must be "dataset" or "sample", not {level!r}.')
    blank = BlankImage(model, processor)
    anchors = _measure_anchors(study, model, processor, blank)
    shift = anchors.mean(dim=0)[None]
    current = [shift]

    def begin(ids: torch.Tensor, mask: torch.Tensor) -> None:
        current[0] = measure_shift(model, blank, ids, mask)

    def take_back(place: int, states: torch.Tensor) -> torch.Tensor:
        return states - alpha * current[0][:, place, None]

    Steering(model, take_back, positions, begin if level == "sample" else None)
    sizes = shift[0].norm(dim=-1)
    # How much of the questions' own shifts the mean explains.
    alike = torch.nn.functional.cosine_similarity(anchors, shift, dim=-1).mean(dim=0)
    derived = {"anchors": len(anchors), "shift_norm": sizes.tolist(), "shift_cosine": alike.tolist()}
    return Defended(model, processor, derived=derived)


class BlankImage:
    """A gray image's features, as the layer of the tower that is read just then gives them."""

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin):
        self.model = model
        size = model.config.vision_config.image_size
        pixels = processor.image_processor([Image.new("RGB", (size, size), GRAY)], return_tensors="pt")
        self.pixels = pixels["pixel_values"].to(model.device, model.dtype)
        self._read = cache(self._encode)

    def features(self) -> torch.Tensor:
        """Of shape `(patches, width)`; the tower sees it once for each layer."""
        layer = self.model.config.vision_feature_layer
        return self._read(layer if isinstance(layer, int) else tuple(layer))

    @torch.no_grad()
    def _encode(self, layer: Any) -> torch.Tensor:
        features: Any = self.model.get_image_features(self.pixels, return_dict=True)
        return torch.cat(list(features.pooler_output))


@torch.no_grad()
def measure_shift(model: PreTrainedModel, blank: BlankImage, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """
    Of each prompt the hidden states at its last position with a blank image in the place of each of its own, less
    those without.

    Args:
        ids, mask (`torch.Tensor` of shape `(rows, length)`): prompts padded on the left.

    Returns:
        `torch.Tensor` of shape `(rows, layers, width)`
    """
    is_image = ids == model.config.image_token_id
    embeds = model.get_input_embeddings()(ids)
    patches = blank.features()
    with_blank = embeds.clone()
    with_blank[is_image] = patches.repeat(int(is_image.sum()) // len(patches), 1).to(embeds.dtype)
    is_word = mask.bool() & ~is_image
    # Words to the right in their order, what is left out to the left.
    order = is_word.long().argsort(dim=1, stable=True)
    alone = embeds.gather(1, order[..., None].expand_as(embeds))
    return read_last_states(model, with_blank, mask) - read_last_states(model, alone, is_word.gather(1, order).long())


def _measure_anchors(
    study: StudyWorld, model: PreTrainedModel, processor: ProcessorMixin, blank: BlankImage
) -> torch.Tensor:
    rows = draw_training_rows(study, 2 * ANCHORS)
    rows = rows.select([i for i, images in enumerate(rows["images"]) if images][:ANCHORS])
    found = []
    for start in range(0, len(rows), _BATCH):
        batch = [rows[i] for i in range(start, min(start + _BATCH, len(rows)))]
        inputs = processor(
            images=[row["images"] for row in batch],
            text=[processor.apply_chat_template(chat_prompt(row), add_generation_prompt=True) for row in batch],
            padding=True,
            padding_side="left",
            return_tensors="pt",
        ).to(model.device)
        found.append(measure_shift(model, blank, inputs["input_ids"], inputs["attention_mask"]))
    return torch.cat(found)
