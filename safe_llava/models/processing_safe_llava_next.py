"""The processor of a SafeLLaVA-NeXT: LLaVA-NeXT's, with the safety tokens counted and user text kept from posing."""

from transformers import LlavaNextProcessor

from .processing_safety import SafetyProcessorMixin


class SafeLlavaNextProcessor(SafetyProcessorMixin, LlavaNextProcessor):
    """
    LLaVA-NeXT's processor for a SafeLLaVA-NeXT; see [`~safe_llava.models.processing_safety.SafetyProcessorMixin`].
    """

    model_type = "safe_llava_next"


__all__ = ["SafeLlavaNextProcessor"]
