"""What a push to the Hub adds to the weights, config and code: the processor and a filled model card."""

import os
import re
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import PROCESSOR_NAME, PushToHubMixin, cached_file, logging

from .configuration_safe_llava import AUTO_MAP
from .pipeline_safe_llava import SafetyClassificationPipeline
from .processing_safe_llava import SafeLlavaProcessor


logger = logging.get_logger(__name__)

# transformers puts this sentence into the card of a repository that has none.
_PLACEHOLDER_CARD = "This model card has been automatically generated."


def find_file(checkpoint: str | os.PathLike, name: str) -> str | None:
    """Path of a file of a checkpoint, a folder or a Hub id; `None` where there is no such file or checkpoint."""
    try:
        return cached_file(str(checkpoint), name) if str(checkpoint) else None
    except OSError:
        return None


class SafeLlavaHubMixin(PushToHubMixin):
    """
    Completes `push_to_hub` of the model it is mixed into. The processor and the model card (`README.md`, with the
    figures of the run that made the checkpoint) come from where the model was loaded. Without a card there, one is
    built from the config alone. A card that the repository has already stays as it is.
    """

    config: Any
    name_or_path: str
    shipped_auto_map = AUTO_MAP
    card_pipeline_tag = "image-text-to-text"
    card_loading_section: str | None = None

    def save_pretrained(self, save_directory: str | os.PathLike, *args: Any, **kwargs: Any) -> None:
        """As its parent, with the code of the pipeline, and the Auto classes that can load this class."""
        os.makedirs(save_directory, exist_ok=True)
        custom_object_save(SafetyClassificationPipeline, save_directory)
        self.config.auto_map = dict(self.shipped_auto_map)
        # The configuration's code sets it, and pipelines put classes into it, which JSON cannot hold.
        vars(self.config).pop("custom_pipelines", None)
        super().save_pretrained(save_directory, *args, **kwargs)

    def _upload_modified_files(self, working_dir: str | os.PathLike, repo_id: str, *args: Any, **kwargs: Any):
        # The last step of `push_to_hub`: everything else lies in `working_dir` now.
        self._add_processor(Path(working_dir), repo_id)
        self._fill_model_card(Path(working_dir), repo_id)
        return super()._upload_modified_files(working_dir, repo_id, *args, **kwargs)

    def _add_processor(self, folder: Path, repo_id: str) -> None:
        if (folder / PROCESSOR_NAME).exists():
            return
        if find_file(self.name_or_path, PROCESSOR_NAME) is None:
            logger.warning(
                f"This model was not loaded from a checkpoint with a processor, so none is pushed along. Push it too: "
                f'processor.push_to_hub("{repo_id}").'
            )
            return
        # Where this very code came with the checkpoint, it has been trusted already.
        trusted = __name__.startswith("transformers_modules.")
        processor = SafeLlavaProcessor.from_pretrained(self.name_or_path, trust_remote_code=trusted)
        processor.save_pretrained(folder)

    def _fill_model_card(self, folder: Path, repo_id: str) -> None:
        path = folder / "README.md"
        placeholder = ModelCard.load(path)
        if _PLACEHOLDER_CARD not in placeholder.text:
            return
        own_path = find_file(self.name_or_path, path.name)
        card = _build_card(self.config) if own_path is None else ModelCard.load(own_path)
        if card is None:
            return
        card.data.tags = list(dict.fromkeys([*(card.data.tags or []), *(placeholder.data.tags or [])]))
        card.data.pipeline_tag = self.card_pipeline_tag
        if self.card_loading_section is not None:
            card.text = re.sub(r"(?s)## Load it\n.*?(?=\n## )", self.card_loading_section, card.text, count=1)
        card.text = re.sub(r'(pipeline\([^)]*model=)"[^"]*"', rf'\1"{repo_id}"', card.text)
        card.save(path)


def _build_card(config: Any) -> ModelCard | None:
    try:
        from safe_llava.model_card import build_model_card
    except ImportError:  # This file came with a checkpoint; the template is in the package, which is not installed.
        return None
    return build_model_card(config)
