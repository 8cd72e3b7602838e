"""SafeLLaVA configuration: a LLaVA configuration plus the three safety modules and the policy that is shipped."""

from huggingface_hub.dataclasses import strict
from transformers import LlavaConfig

from .safety_configuration import SafetyConfigMixin


@strict
class SafeLlavaConfig(SafetyConfigMixin, LlavaConfig):
    r"""
    Configuration of a SafeLLaVA. It takes every argument of [`~transformers.LlavaConfig`] and of
    [`~safe_llava.models.safety_configuration.SafetyConfigMixin`].

    To safety-align an existing checkpoint use [`safe_llava.conversion.convert_llava_checkpoint`]: a LLaVA checkpoint
    read with `SafeLlavaConfig.from_pretrained` would keep LLaVA's `model_type`.

    Example:

    ```python
    >>> from safe_llava import SafeLlavaConfig, SafeLlavaForConditionalGeneration

    >>> config = SafeLlavaConfig()  # a LLaVA-1.5-7B with the paper's safety modules
    >>> config.image_seq_length  # 576 patches and 64 safety tokens
    640
    ```"""

    model_type = "safe_llava"

    def __post_init__(self, **kwargs):
        super().__post_init__(**kwargs)
        tower = self.vision_config.model_type
        if tower.startswith(("clip", "siglip")):  # Of other towers conversion counts what they make.
            num_patches = (self.vision_config.image_size // self.vision_config.patch_size) ** 2
            drops_first_token = self.vision_feature_select_strategy == "default"
            has_cls_token = tower.startswith("clip")
            self.image_seq_length = num_patches + has_cls_token - drops_first_token + self.num_safety_tokens


__all__ = ["SafeLlavaConfig"]
