"""The configuration of a LLaVA-OneVision with safety modules."""

from huggingface_hub.dataclasses import strict
from transformers import LlavaOnevisionConfig

from .safety_configuration import SafetyConfigMixin


@strict
class SafeLlavaOnevisionConfig(SafetyConfigMixin, LlavaOnevisionConfig):
    r"""
    Configuration of a SafeLLaVA-OneVision. It takes every argument of [`~transformers.LlavaOnevisionConfig`] and of
    [`~safe_llava.models.safety_configuration.SafetyConfigMixin`].

    Example:

    ```python
    >>> from safe_llava import SafeLlavaOnevisionConfig

    >>> SafeLlavaOnevisionConfig().num_safety_tokens  # in front of each image, however many rows that has
    64
    ```"""

    model_type = "safe_llava_onevision"


__all__ = ["SafeLlavaOnevisionConfig"]
