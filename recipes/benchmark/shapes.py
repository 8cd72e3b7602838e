"""The shapes of the benchmarks: the miniature, one that fits two cores, LLaVA-1.5-7B and 13B. Random weights."""

from typing import Any

import torch
from transformers import (
    LlavaConfig,
    LlavaNextConfig,
    LlavaOnevisionConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING

from safe_llava.family import FAMILY
from safe_llava.miniature import CHECKPOINT
from safe_llava.models.safety_configuration import SafetyConfigMixin


SHAPES = ("miniature", "mid", "llava-1.5-7b", "llava-1.5-13b")
TILED_SHAPES = ("mid-next", "llava-next-7b", "llava-onevision-7b", "llava-onevision-0.5b")
"""Shapes that cut images."""


def base_config(shape: str) -> Any:
    """The stock LLaVA of a shape."""
    if shape == "miniature":
        return LlavaConfig.from_pretrained(CHECKPOINT)
    if shape == "mid":
        return _config(224, vision=_sizes(512, 2048, 12, 8), text=_sizes(1024, 2816, 16, 16))
    if shape == "mid-next":
        mid = base_config("mid")
        return LlavaNextConfig(
            vision_config=mid.vision_config, text_config=mid.text_config, image_grid_pinpoints=[[448, 448]]
        )
    if shape == "llava-1.5-7b":
        return _config(336, vision=_sizes(1024, 4096, 24, 16), text=_sizes(4096, 11008, 32, 32))
    if shape == "llava-1.5-13b":
        return _config(336, vision=_sizes(1024, 4096, 24, 16), text=_sizes(5120, 13824, 40, 40))
    if shape == "llava-next-7b":
        text = {"model_type": "llama", "vocab_size": 32064, **_sizes(4096, 11008, 32, 32)}
        return LlavaNextConfig(text_config=text)
    if shape == "llava-onevision-7b":
        return LlavaOnevisionConfig(
            text_config=Qwen2Config(vocab_size=152064, num_key_value_heads=4, **_sizes(3584, 18944, 28, 28))
        )
    if shape == "llava-onevision-0.5b":
        sizes = _sizes(896, 4864, 24, 14)
        return LlavaOnevisionConfig(
            text_config=Qwen2Config(vocab_size=152000, num_key_value_heads=2, tie_word_embeddings=True, **sizes)
        )
    raise ValueError(f"No shape {shape!r}; there are {', '.join([*SHAPES, *TILED_SHAPES])}.")


def safe_config(base: PreTrainedConfig) -> SafetyConfigMixin:
    """The SafeLLaVA of a stock LLaVA: 64 safety tokens, and as many visual tokens of the head as there are patches."""
    fields = {name: value for name, value in base.to_dict().items() if name not in ("model_type", "architectures")}
    num_patches = (base.vision_config.image_size // base.vision_config.patch_size) ** 2
    return FAMILY[f"safe_{base.model_type}"].config(**fields, num_safety_visual_tokens=num_patches)


def stock_class(config: PreTrainedConfig) -> type[PreTrainedModel]:
    """The stock LLaVA that answers."""
    return MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING[type(config)]


def build(model_class: type[PreTrainedModel], config: Any, device: str, dtype: torch.dtype) -> PreTrainedModel:
    """A model with random weights, seed 0."""
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            return model_class(config).eval()
    finally:
        torch.set_default_dtype(before)


def _sizes(width: int, inner: int, layers: int, heads: int) -> dict[str, int]:
    return {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
    }


def _config(image_size: int, vision: dict[str, int], text: dict[str, int]) -> LlavaConfig:
    return LlavaConfig(
        vision_config={
            "model_type": "clip_vision_model",
            "image_size": image_size,
            "patch_size": 14,
            "projection_dim": 768,
            **vision,
        },
        text_config={"model_type": "llama", "vocab_size": 32064, "max_position_embeddings": 4096, **text},
        image_token_id=32000,
        image_seq_length=(image_size // 14) ** 2,
    )
