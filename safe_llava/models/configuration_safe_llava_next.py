"""The configuration of a LLaVA-NeXT (LLaVA-1.6) with safety modules."""

from huggingface_hub.dataclasses import strict
from transformers import LlavaNextConfig

from .safety_configuration import SafetyConfigMixin


@strict
class SafeLlavaNextConfig(SafetyConfigMixin, LlavaNextConfig):
    r"""
    Configuration of a SafeLLaVA-NeXT. It takes every argument of [`~transformers.LlavaNextConfig`] and of
    [`~safe_llava.models.safety_configuration.SafetyConfigMixin`].

    Example:

    ```python
    >>> from safe_llava import SafeLlavaNextConfig

    >>> SafeLlavaNextConfig().num_safety_tokens  # in front of each image, however many rows that has
    64
    ```"""

    model_type = "safe_llava_next"


__all__ = ["SafeLlavaNextConfig"]
