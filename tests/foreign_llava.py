"""
A stock LLaVA made of parts that are nothing like LLaVA-1.5's: a convolutional tower of one's own, a chat template that
takes texts, an end token that pads, and word embeddings that are tied.
"""

import itertools
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.modeling_outputs import BaseModelOutputWithNoAttention
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil


IMAGE_SIZE, STRIDE = 32, 8
SYSTEM_TURN = "<|im_start|>system\nYou are helpful.<|im_end|>\n"
# SmolLM2's: it adds strings up, and puts a system turn before a chat without one.
CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '"
    + SYSTEM_TURN.replace("\n", "\\n")
    + "' }}{% endif %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)


class ConvTowerConfig(PreTrainedConfig):
    """Says as little as a tower can: no layers, no heads, no patches."""

    model_type = "conv_tower_of_the_tests"

    def __init__(self, hidden_size: int = 24, image_size: int = IMAGE_SIZE, **kwargs: Any):
        super().__init__(**kwargs)
        self.hidden_size, self.image_size = hidden_size, image_size


class ConvTower(PreTrainedModel):
    """Gives its last feature map as a sequence, and neither a pooled vector nor attention."""

    config: ConvTowerConfig
    config_class = ConvTowerConfig
    main_input_name = "pixel_values"

    def __init__(self, config: ConvTowerConfig):
        super().__init__(config)
        widths = (3, 8, 16, config.hidden_size)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, wider, 3, stride=2, padding=1), nn.BatchNorm2d(wider), nn.ReLU())
            for width, wider in itertools.pairwise(widths)
        )
        self.post_init()

    def forward(self, pixel_values, output_hidden_states=None, return_dict=None, **kwargs):
        for layer in self.layers:
            pixel_values = layer(pixel_values)
        features = pixel_values.flatten(2).transpose(1, 2)
        return BaseModelOutputWithNoAttention(last_hidden_state=features, hidden_states=(features,))


AutoConfig.register(ConvTowerConfig.model_type, ConvTowerConfig, exist_ok=True)
AutoModel.register(ConvTowerConfig, ConvTower, exist_ok=True)


def build_chatml_tokenizer() -> PreTrainedTokenizerFast:
    """Bytes, and SmolLM2's control tokens: the end of a turn also pads, its start begins every prompt."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE({token: index for index, token in enumerate([*special, *alphabet])}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([*special, AddedToken("<image>", normalized=False)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=special[1], eos_token=special[2], pad_token=special[2]
    )


def build_foreign_llava(
    vision_config: PreTrainedConfig | None = None, **fields: object
) -> tuple[LlavaForConditionalGeneration, LlavaProcessor]:
    """
    A model with random weights, and its processor, which pads on the right.

    Args:
        vision_config (`PreTrainedConfig`, *optional*): another tower than [`ConvTower`], for images of 32 x 32.
        fields (`object`): of the [`~transformers.LlavaConfig`].
    """
    tokenizer = build_chatml_tokenizer()
    config = LlavaConfig(
        vision_config=vision_config or ConvTowerConfig(),
        text_config=LlamaConfig(
            vocab_size=len(tokenizer) + 7,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            initializer_range=0.3,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        ),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        tie_word_embeddings=True,
        **{"vision_feature_layer": -1, "vision_feature_select_strategy": "full"} | fields,
    )
    processor = LlavaProcessor(
        image_processor=CLIPImageProcessorPil(
            size={"shortest_edge": IMAGE_SIZE}, crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}
        ),
        tokenizer=tokenizer,
        patch_size=STRIDE,
        vision_feature_select_strategy=config.vision_feature_select_strategy,
        chat_template=CHATML,
        num_additional_image_tokens=0,
    )
    torch.manual_seed(0)
    return LlavaForConditionalGeneration(config).eval(), processor
