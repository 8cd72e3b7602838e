"""Tiny models of the LLaVA family beside LLaVA-1.5: stock, and with random safety modules."""

import copy
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from transformers import (
    CLIPVisionConfig,
    LlamaConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaOnevisionConfig,
    LlavaOnevisionForConditionalGeneration,
    Qwen2Config,
    SiglipVisionConfig,
)
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil
from transformers.models.llava_onevision.image_processing_pil_llava_onevision import LlavaOnevisionImageProcessorPil

import safe_llava
from safe_llava import SafetyPolicy
from safe_llava.calibration import fit_familiarity
from safe_llava.models.safety_trust import record_training
from tests.conftest import CHAT_TEMPLATE, IMAGE_SIZE, NUM_PATCHES, NUM_SAFETY_TOKENS, PATCH_SIZE, build_tokenizer


MEMBERS = ["llava_next", "llava_onevision"]
TILES = dict(zip(MEMBERS, ("base", "all")))
"""What the head of each reads, so that what is tested of all members is tested of both."""
GRIDS = [[IMAGE_SIZE * rows, IMAGE_SIZE * columns] for rows, columns in ((1, 1), (1, 2), (2, 1), (2, 2))]
SIZES = {
    "num_safety_tokens": NUM_SAFETY_TOKENS,
    "num_safety_visual_tokens": 9,
    "safety_projector_hidden_size": 32,
    "safety_head_num_attention_heads": 4,
}
_STOCK = {
    "llava_next": (LlavaNextConfig, LlavaNextForConditionalGeneration),
    "llava_onevision": (LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration),
}


class Member(NamedTuple):
    """A stock model, the SafeLLaVA that is made of it, and the processor of the latter."""

    stock: Any
    model: Any
    processor: Any


def build_stock(model_type: str, tokenizer: Any, text_class: type | None = None) -> Any:
    """A stock model with random weights, wide enough spread that its answers depend on the image."""
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
        "initializer_range": 0.3,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "image_size": IMAGE_SIZE,
        "patch_size": PATCH_SIZE,
    }
    is_next = model_type == "llava_next"
    config_class, model_class = _STOCK[model_type]
    config = config_class(
        vision_config=CLIPVisionConfig(**vision, projection_dim=32, initializer_factor=4.0)
        if is_next
        else SiglipVisionConfig(**vision, vision_use_head=False),
        # As LLaVA-OneVision-0.5B: a Qwen2 whose embeddings are tied.
        text_config=(text_class or LlamaConfig)(**text) if is_next else Qwen2Config(**text, tie_word_embeddings=True),
        image_token_index=tokenizer.image_token_id,
        image_grid_pinpoints=GRIDS,
        **({} if is_next else {"vision_aspect_ratio": "anyres_max_2", "video_token_index": len(tokenizer) - 1}),
    )
    torch.manual_seed(0)
    return model_class(config).eval()


def build_processor(model_type: str, tokenizer: Any, num_safety_tokens: int = NUM_SAFETY_TOKENS) -> Any:
    """The processor of the SafeLLaVA; with 0 safety tokens it counts as the stock one does."""
    processor_class = getattr(safe_llava, f"Safe{_STOCK[model_type][0].__name__.removesuffix('Config')}Processor")
    shared = {"tokenizer": tokenizer, "chat_template": CHAT_TEMPLATE}
    if model_type == "llava_next":
        size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
        images = LlavaNextImageProcessorPil(
            size={"shortest_edge": IMAGE_SIZE}, crop_size=size, image_grid_pinpoints=GRIDS
        )
        return processor_class(
            image_processor=images,
            patch_size=PATCH_SIZE,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1 + num_safety_tokens,
            **shared,
        )
    images = LlavaOnevisionImageProcessorPil(
        size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}, image_grid_pinpoints=GRIDS
    )
    return processor_class(
        image_processor=images,
        num_image_tokens=NUM_PATCHES,
        vision_feature_select_strategy="full",
        vision_aspect_ratio="anyres_max_2",
        num_additional_image_tokens=num_safety_tokens,
        **shared,
    )


def add_safety(stock: Any, **fields: Any) -> Any:
    """The SafeLLaVA of a stock model, with its weights and random safety modules."""
    model_class = getattr(safe_llava, f"Safe{type(stock).__name__}")
    base = stock.config.to_dict()
    del base["model_type"], base["architectures"]
    torch.manual_seed(1)
    model = model_class(model_class.config_class(**base, **{**SIZES, **fields})).eval()
    model.load_state_dict(stock.state_dict(), strict=False)
    model.generation_config = copy.deepcopy(stock.generation_config)
    return model


def build_member(model_type: str) -> Member:
    """The member, with the default policy attached and its random head, which reads its `TILES`, trusted."""
    tokenizer = build_tokenizer()
    stock, processor = build_stock(model_type, tokenizer), build_processor(model_type, tokenizer)
    model = add_safety(stock, safety_tiles=TILES[model_type])
    model.set_safety_policy(SafetyPolicy(), processor)
    record_training(model)
    return Member(stock, model, processor)


def alarm(model: Any) -> Any:
    """A copy whose head takes every image for high risk, so that its policy always acts."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.model.safety_modules.head.level_classifier.bias += torch.tensor([0.0, 0.0, 0.0, 99.0])
    record_training(model)
    return model


def discern(model: Any, processor: Any, rows: Dataset) -> Any:
    """A copy whose head finds no risk anywhere, and which knows images unlike those of the rows."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        model.model.safety_modules.head.level_classifier.bias[0] += 99.0
        model.model.safety_modules.head.type_classifier.bias[6] += 99.0
    record_training(model)
    fit_familiarity(model, processor, rows, share=0.9)
    return model
