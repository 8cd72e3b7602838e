"""The guard of an engine that is sent rows in place of images: it makes them, in the pass that assesses."""

import copy
import os
from typing import Any

from transformers import AutoProcessor

from ..checkpoints import read_config, require_device
from ..family import FAMILY
from ..models.modeling_safety_guard import SafetyClassificationMixin
from ..models.processing_safety import SafetyProcessorMixin
from ..models.safety_configuration import SafetyConfigMixin


class GuardWithRows(SafetyClassificationMixin):
    """
    Goes before a guard, whose `get_image_features` is then the whole model's: with the multi-modal projector and s2,
    and without a layer of the language model.
    """

    def __init__(self, config: SafetyConfigMixin):
        super().__init__(config)
        config = copy.deepcopy(config)
        config.text_config.num_hidden_layers = 0
        self.model = FAMILY[config.model_type].inner(config)
        self.post_init()


def load_guard_with_rows(
    checkpoint: str | os.PathLike, device: str | None = None, dtype: str = "auto"
) -> tuple[GuardWithRows, SafetyProcessorMixin]:
    """
    As [`~safe_llava.checkpoints.load_guard`], of the checkpoint of a whole model.

    Raises:
        ValueError: if the checkpoint is a guard's, which has no multi-modal projector.
    """
    member = FAMILY[read_config(checkpoint).model_type]
    guard_class: Any = type("GuardWithRows", (GuardWithRows, member.guard), {"config_class": member.config})
    guard, info = guard_class.from_pretrained(
        checkpoint, dtype=dtype, device_map=require_device(device), output_loading_info=True
    )
    if missing := sorted(info["missing_keys"]):
        raise ValueError(
            f"{checkpoint} lacks what makes the rows that a language model reads ({missing[0]} and "
            f"{len(missing) - 1} more weights). Serve the checkpoint of the whole model, or let the engine have the "
            "images: --upstream-images images."
        )
    processor = AutoProcessor.from_pretrained(checkpoint)
    guard.eval().check_ready(processor)
    return guard, processor
