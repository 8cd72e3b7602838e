"""What all SafeLLaVA classes share as transformers models: how they are initialised, loaded, saved and pushed."""

import os
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping

from .hub_safe_llava import complete_push, ship_code
from .image_tiles import TileGrid, TilePositions
from .safety_configuration import SAFE_MODEL_TYPES, SafetyConfigMixin, build_auto_map
from .safety_tokens import SafetyTokens


# LLaVA's older key layouts are renamed by model type and class name, and third-party classes are left out unless they
# register. Without this a stock checkpoint's language model would load freshly initialised.
for _model_type in SAFE_MODEL_TYPES:
    _stock_type = _model_type.removeprefix("safe_")
    _stock = "".join(word.title() for word in _stock_type.split("_"))
    register_checkpoint_conversion_mapping(_model_type, get_checkpoint_conversion_mapping(_stock_type), overwrite=True)
    for _name in (f"Safe{_stock}Model", f"Safe{_stock}GuardModel"):
        register_checkpoint_conversion_mapping(
            _name, get_checkpoint_conversion_mapping(f"{_stock}Model"), overwrite=True
        )


class SafeLlavaPreTrainedModel(PreTrainedModel):
    """Goes before LLaVA's own class among the bases of each SafeLLaVA class."""

    config: SafetyConfigMixin
    _no_split_modules = ["SafetyTokens", "SafetyHead", "CAbstractor", "PatchMLP"]  # noqa: RUF012
    image_arguments: tuple[str, ...] = ("image_sizes",)
    """What the processor says of images beside their pixels, by the names that `forward` and `assess` take."""
    is_guard = False
    card_pipeline_tag = "image-text-to-text"
    card_loading_section: str | None = None

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SafetyTokens | TilePositions):
            for vectors in module.parameters():
                init.normal_(vectors, mean=0.0, std=0.02)
        elif isinstance(module, nn.Linear | nn.Conv2d) and getattr(module, "is_safety_layer", False):
            # A fixed std of 0.02 suits widths of thousands; in a narrow model it would all but silence the modules.
            init.normal_(module.weight, mean=0.0, std=module.weight[0].numel() ** -0.5)

    def find_tiles(self, **image_arguments: Any) -> list[TileGrid] | None:
        """How each image is cut, by what the processor says of it; `None` where images are not cut."""
        return None

    @property
    def cuts_images(self) -> bool:
        """Whether an image becomes several tiles."""
        return hasattr(self.config, "image_grid_pinpoints")

    def train(self, mode: bool = True) -> "SafeLlavaPreTrainedModel":
        """
        As its parent, but a vision tower and safety modules that are frozen stay in evaluation mode: batch norm would
        learn there, and dropout disturb.
        """
        super().train(mode)
        for part in (getattr(self, "vision_tower", None), getattr(self, "safety_modules", None)):
            if part is not None and not any(parameter.requires_grad for parameter in part.parameters()):
                part.eval()
        return self

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """As its parent, with the code of the pipeline, and the Auto classes that can load this class."""
        ship_code(self.config, build_auto_map(self.config.model_type, self.is_guard), save_directory)
        super().save_pretrained(save_directory, *args, **kwargs)

    def _upload_modified_files(self, working_dir: str | os.PathLike, repo_id: str, *args: Any, **kwargs: Any):
        # The last step of `push_to_hub`: everything else lies in `working_dir` now.
        complete_push(self, Path(working_dir), repo_id)
        return super()._upload_modified_files(working_dir, repo_id, *args, **kwargs)
