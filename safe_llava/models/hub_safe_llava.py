"""What a push to the Hub adds to the weights, config and code: the processor and a filled model card."""

import os
import re
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from transformers import AutoProcessor, PreTrainedConfig, PreTrainedModel
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import PROCESSOR_NAME, cached_file, logging

from .pipeline_safe_llava import SafetyClassificationPipeline
from .safety_guarantee import guarantee_in_force


logger = logging.get_logger(__name__)

# transformers puts this sentence into the card of a repository that has none.
_PLACEHOLDER_CARD = "This model card has been automatically generated."


def find_file(checkpoint: str | os.PathLike, name: str) -> str | None:
    """Path of a file of a checkpoint, a folder or a Hub id; `None` where there is no such file or checkpoint."""
    try:
        return cached_file(str(checkpoint), name) if str(checkpoint) else None
    except OSError:
        return None


def ship_code(config: PreTrainedConfig, auto_map: dict[str, str], folder: str | os.PathLike) -> None:
    """
    Puts the code of the pipeline into a folder that gets a checkpoint, and into its config the Auto classes that can
    load it.
    """
    os.makedirs(folder, exist_ok=True)
    custom_object_save(SafetyClassificationPipeline, folder)
    config.auto_map = dict(auto_map)
    # The configuration's code sets it, and pipelines put classes into it, which JSON cannot hold.
    config.__dict__.pop("custom_pipelines", None)


def complete_push(model: PreTrainedModel, folder: Path, repo_id: str) -> None:
    """
    Adds to a folder that is about to be pushed what the model does not save. The processor and the model card
    (`README.md`, with the figures of the run that made the checkpoint) come from where the model was loaded. Without a
    card there, one is built from the config alone. A card that the repository has already stays as it is.

    Args:
        model ([`SafeLlavaPreTrainedModel`]): what is pushed.
        folder (`Path`): holds its weights, config and code.
        repo_id (`str`): where it goes.
    """
    _add_processor(model, folder, repo_id)
    _fill_model_card(model, folder / "README.md", repo_id)


def _add_processor(model: PreTrainedModel, folder: Path, repo_id: str) -> None:
    if (folder / PROCESSOR_NAME).exists():
        return
    if find_file(model.name_or_path, PROCESSOR_NAME) is None:
        logger.warning(
            f"This model was not loaded from a checkpoint with a processor, so none is pushed along. Push it too: "
            f'processor.push_to_hub("{repo_id}").'
        )
        return
    # Where this very code came with the checkpoint, it has been trusted already.
    trusted = __name__.startswith("transformers_modules.")
    AutoProcessor.from_pretrained(model.name_or_path, trust_remote_code=trusted).save_pretrained(folder)


def _fill_model_card(model: PreTrainedModel, path: Path, repo_id: str) -> None:
    placeholder = ModelCard.load(path)
    if _PLACEHOLDER_CARD not in placeholder.text:
        return
    own_path = find_file(model.name_or_path, path.name)
    card = _build_card(model.config) if own_path is None else ModelCard.load(own_path)
    if card is None:
        return
    card.data.tags = list(dict.fromkeys([*(card.data.tags or []), *(placeholder.data.tags or [])]))
    card.data.pipeline_tag = model.card_pipeline_tag
    if guarantee_in_force(model.config) is None:  # A policy that was changed since has lost its promise.
        card.text = re.sub(r"(?s)### What is promised\n.*?(?=\n## )", "", card.text, count=1)
    if model.card_loading_section is not None:
        card.text = re.sub(r"(?s)## Load it\n.*?(?=\n## )", model.card_loading_section, card.text, count=1)
    card.text = re.sub(r'(pipeline\([^)]*model=)"[^"]*"', rf'\1"{repo_id}"', card.text)
    card.save(path)


def _build_card(config: Any) -> ModelCard | None:
    try:
        from safe_llava.model_card import build_model_card
    except ImportError:  # This file came with a checkpoint; the template is in the package, which is not installed.
        return None
    return build_model_card(config)
