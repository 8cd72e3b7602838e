"""What each of the two stages trains (arXiv 2405.13581, section 3.3), and how stage 2's adapter becomes a model."""

from pathlib import Path

import torch
from peft import PeftConfig, PeftModel
from transformers import AutoModelForImageTextToText, AutoProcessor

from ..models.modeling_safe_llava import SafeLlavaForConditionalGeneration
from ..models.safety_familiarity import drop_stale_records


# For `LoraConfig(target_modules=...)`: every linear layer of the language model's blocks, and nothing of the vision
# tower, the projectors and the safety head, which "all-linear" would take too.
LANGUAGE_MODEL_LINEAR_LAYERS = r"model\.language_model\.layers\..*_proj"


def train_only_safety_modules(model: SafeLlavaForConditionalGeneration) -> None:
    """
    Freezes the model for stage 1: the safety projector, both sets of safety tokens and the safety head train.

    The modules that train become float32, for steps of 1e-5 are lost in bfloat16 weights; run a half-precision model
    under autocast (`bf16: true`). What is saved counts as untrained until [`SafeSFTTrainer`] has finished
    and found that the head has learned.

    Args:
        model ([`SafeLlavaForConditionalGeneration`]): changed in place.
    """
    model.requires_grad_(False)
    model.config.safety_training = None
    drop_stale_records(model.config)
    model.model.safety_modules.requires_grad_(True).to(torch.float32)


def of_revision(config: PeftConfig | None, revision: str | None) -> PeftConfig | None:
    """An adapter's config that names the revision of the base that it is trained on, as the base's name does not."""
    if config is not None and revision not in (None, "main"):
        config.revision = revision
    return config


def merge_adapter(adapter_folder: str | Path, output_folder: str | Path) -> None:
    """
    Folds a LoRA adapter into its base model and saves a checkpoint that needs no PEFT.

    Args:
        adapter_folder (`str` or `Path`): folder with the adapter, which names its base model, and the processor.
        output_folder (`str` or `Path`): where the whole model and the processor go.
    """
    config = PeftConfig.from_pretrained(str(adapter_folder))
    revision = {} if config.revision is None else {"revision": config.revision}
    model = AutoModelForImageTextToText.from_pretrained(config.base_model_name_or_path, **revision)
    merged = PeftModel.from_pretrained(model, str(adapter_folder)).merge_and_unload()
    merged.save_pretrained(output_folder)
    AutoProcessor.from_pretrained(adapter_folder).save_pretrained(output_folder)
