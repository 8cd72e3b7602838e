"""The processor of a SafeLLaVA-OneVision: LLaVA-OneVision's for images and text, with the safety tokens counted."""

from typing import Any

from transformers import LlavaOnevisionProcessor, ProcessorMixin

from .processing_safety import SafetyProcessorMixin


class SafeLlavaOnevisionProcessor(SafetyProcessorMixin, LlavaOnevisionProcessor):
    """
    LLaVA-OneVision's processor for a SafeLLaVA-OneVision; see
    [`~safe_llava.models.processing_safety.SafetyProcessorMixin`]. It takes no videos, which the model refuses.

    Args:
        image_processor (`LlavaOnevisionImageProcessor`): cuts images.
        tokenizer (`PreTrainedTokenizerBase`): has the image token.
        num_image_tokens (`int`): rows that the vision tower makes of a tile.
        vision_feature_select_strategy (`str`, *optional*): that of the model's config.
        chat_template (`str`, *optional*): a Jinja template.
        image_token (`str`, *optional*, defaults to `"<image>"`): stands for an image in a prompt.
        video_token (`str`, *optional*, defaults to `"<video>"`): stands for a video, which no prompt may hold.
        vision_aspect_ratio (`str`, *optional*, defaults to `"anyres_max_9"`): how large a grid of tiles may be.
        num_additional_image_tokens (`int`, *optional*, defaults to 0): the safety tokens in front of each image.
    """

    model_type = "safe_llava_onevision"

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        num_image_tokens: int | None = None,
        vision_feature_select_strategy: str | None = None,
        chat_template: str | None = None,
        image_token: str = "<image>",
        video_token: str = "<video>",
        vision_aspect_ratio: str = "anyres_max_9",
        num_additional_image_tokens: int = 0,
        **kwargs: Any,
    ):
        self.num_image_tokens = num_image_tokens
        self.vision_feature_select_strategy = vision_feature_select_strategy
        self.vision_aspect_ratio = vision_aspect_ratio
        self.num_additional_image_tokens = num_additional_image_tokens
        self.image_token = getattr(tokenizer, "image_token", image_token)
        self.video_token = getattr(tokenizer, "video_token", video_token)
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        # Not through the parent's, which needs a video processor, and with that torchvision.
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    def replace_image_token(self, image_inputs: dict, image_idx: int, **kwargs: Any) -> str:
        """As its parent, with the safety tokens."""
        stock = super().replace_image_token(image_inputs, image_idx, **kwargs)
        return self.image_token * self.num_additional_image_tokens + stock

    def _get_num_multimodal_tokens(self, image_sizes: Any = None, **kwargs: Any) -> Any:
        counted = super()._get_num_multimodal_tokens(image_sizes, **kwargs)
        if image_sizes is not None:
            counted.num_image_tokens = [
                number + self.num_additional_image_tokens for number in counted.num_image_tokens
            ]
        return counted


__all__ = ["SafeLlavaOnevisionProcessor"]
