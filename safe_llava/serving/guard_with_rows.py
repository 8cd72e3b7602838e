"""The guard of an engine that is sent rows in place of images: it makes them, in the pass that assesses."""

import copy
import os

from transformers import AutoProcessor

from ..checkpoints import default_device, read_config
from ..models.configuration_safe_llava import SafeLlavaConfig
from ..models.modeling_safe_llava import SafeLlavaForSafetyClassification, SafeLlavaModel
from ..models.processing_safe_llava import SafeLlavaProcessor


class GuardWithRows(SafeLlavaForSafetyClassification):
    """
    The guard, whose `get_image_features` is the whole model's: with the multi-modal projector and s2, and without a
    layer of the language model.
    """

    def __init__(self, config: SafeLlavaConfig):
        super().__init__(config)
        config = copy.deepcopy(config)
        config.text_config.num_hidden_layers = 0
        self.model = SafeLlavaModel(config)
        self.post_init()


def load_guard_with_rows(
    checkpoint: str | os.PathLike, device: str | None = None, dtype: str = "auto"
) -> tuple[GuardWithRows, SafeLlavaProcessor]:
    """
    As [`~safe_llava.checkpoints.load_guard`], of the checkpoint of a whole model.

    Raises:
        ValueError: if the checkpoint is a guard's, which has no multi-modal projector.
    """
    read_config(checkpoint)
    guard, info = GuardWithRows.from_pretrained(
        checkpoint, dtype=dtype, device_map=device or default_device(), output_loading_info=True
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
