"""SafeLLaVA: LLaVA with a safety projector, safety tokens and a safety head.

Paper: "Safety Alignment for Vision Language Models", arXiv 2405.13581; details from arXiv 2411.11543.
"""

from typing import Any

from transformers import LlavaForConditionalGeneration, LlavaModel, LlavaPreTrainedModel
from transformers.generation import GenerationMixin

from .configuration_safe_llava import SafeLlavaConfig
from .modeling_safety_base import SafetyCausalLMMixin, SafetyModelMixin
from .modeling_safety_guard import SafetyClassificationMixin, SafetyGuardModelMixin


class SafeLlavaModel(SafetyModelMixin, LlavaModel):
    """The vision tower, the projector, the language model and the safety modules, without a language-model head."""

    config: SafeLlavaConfig


class SafeLlavaForConditionalGeneration(SafetyCausalLMMixin, LlavaForConditionalGeneration, GenerationMixin):
    """
    A LLaVA that assesses the image and its question before it answers, in one pass of the vision tower.

    Example:

    ```python
    >>> import safe_llava
    >>> from transformers import AutoModelForImageTextToText, AutoProcessor

    >>> model = AutoModelForImageTextToText.from_pretrained("org/safe-llava")
    >>> processor = AutoProcessor.from_pretrained("org/safe-llava")
    >>> inputs = processor.apply_chat_template(
    ...     messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    ... )
    >>> model.assess(**inputs).levels
    ['none']
    >>> output = model.generate(**inputs, max_new_tokens=64)
    ```"""

    config: SafeLlavaConfig
    inner_class = SafeLlavaModel


class SafeLlavaGuardModel(SafetyGuardModelMixin, LlavaPreTrainedModel):
    """The parts of [`SafeLlavaModel`] that a verdict needs, under the same names."""

    config: SafeLlavaConfig

    def count_rows(self, num_patches: int, num_images: int, **image_arguments: Any) -> list[int]:
        """How many rows of the language model each image takes beside the safety tokens."""
        return [num_patches] * num_images


class SafeLlavaForSafetyClassification(SafetyClassificationMixin, LlavaPreTrainedModel):
    """
    Assesses images and their questions as [`SafeLlavaForConditionalGeneration`] of the same checkpoint does, and
    cannot answer them. It reads what a verdict needs of the checkpoint, and saves as a small checkpoint of its own.

    Example:

    ```python
    >>> from safe_llava import SafeLlavaForSafetyClassification
    >>> from transformers import AutoProcessor

    >>> guard = SafeLlavaForSafetyClassification.from_pretrained("org/safe-llava")
    >>> processor = AutoProcessor.from_pretrained("org/safe-llava")
    >>> inputs = processor.apply_chat_template(messages, tokenize=True, return_dict=True, return_tensors="pt")
    >>> guard.assess(**inputs).levels
    ['none']
    >>> guard.config.id2label[guard(**inputs).type_logits.argmax().item()]
    'safe'
    ```"""

    config: SafeLlavaConfig
    inner_class = SafeLlavaGuardModel


# The code travels with every checkpoint, so that it loads with `trust_remote_code=True` where the package is missing.
SafeLlavaForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")
SafeLlavaForSafetyClassification.register_for_auto_class("AutoModelForImageClassification")

__all__ = [
    "SafeLlavaForConditionalGeneration",
    "SafeLlavaForSafetyClassification",
    "SafeLlavaGuardModel",
    "SafeLlavaModel",
]
