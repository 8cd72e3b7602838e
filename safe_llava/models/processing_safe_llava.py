"""SafeLLaVA processor: LLaVA's, with the safety tokens counted and user text kept from posing as control tokens."""

from transformers import LlavaProcessor

from .processing_safety import SafetyProcessorMixin


class SafeLlavaProcessor(SafetyProcessorMixin, LlavaProcessor):
    r"""
    LLaVA's processor for a SafeLLaVA; see [`~safe_llava.models.processing_safety.SafetyProcessorMixin`].

    Example:

    ```python
    >>> messages = [{"role": "user", "content": [{"type": "image", "image": image}, {"type": "text", "text": "Who?"}]}]
    >>> inputs = processor.apply_chat_template(
    ...     messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    ... )
    ```"""

    model_type = "safe_llava"


__all__ = ["SafeLlavaProcessor"]
