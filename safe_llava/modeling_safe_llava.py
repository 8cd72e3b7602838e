"""SafeLLaVA: LLaVA with a safety projector, safety tokens and a safety head.

Paper: "Safety Alignment for Vision Language Models", arXiv 2405.13581; details from arXiv 2411.11543.
"""

from typing import Any

import torch
from torch import nn
from transformers import LlavaForConditionalGeneration, LlavaModel, LlavaPreTrainedModel
from transformers import initialization as init
from transformers.cache_utils import Cache
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping
from transformers.generation import GenerationMixin
from transformers.utils import logging
from transformers.utils.generic import can_return_tuple

from .assessment_safe_llava import SafeLlavaAssessmentMixin
from .configuration_safe_llava import SafeLlavaConfig
from .generation_safe_llava import SafeLlavaGenerationMixin
from .hub_safe_llava import SafeLlavaHubMixin
from .outputs_safe_llava import (
    SafeLlavaCausalLMOutputWithPast,
    SafeLlavaImageFeatures,
    SafeLlavaModelOutputWithPast,
)
from .safety_head import SafetyHead, SafetyTokens
from .safety_loss import safety_cross_entropy
from .safety_projector import SAFETY_PROJECTORS, CAbstractor, PatchMLP


logger = logging.get_logger(__name__)

# LLaVA's older key layouts are renamed by model type and class name, and third-party classes are left out unless they
# register. Without this a stock checkpoint's language model would load freshly initialised.
for _stock, _ours in (("llava", "safe_llava"), ("LlavaModel", "SafeLlavaModel")):
    register_checkpoint_conversion_mapping(_ours, get_checkpoint_conversion_mapping(_stock), overwrite=True)


class SafeLlavaModel(LlavaModel):
    """The vision tower, the projector, the language model and the safety modules, without a language-model head."""

    config: SafeLlavaConfig
    _no_split_modules = ["SafetyTokens", "SafetyHead", "CAbstractor", "PatchMLP"]  # noqa: RUF012

    def __init__(self, config: SafeLlavaConfig):
        super().__init__(config)
        self.safety_tokens = SafetyTokens(config) if config.num_safety_tokens else None
        self.safety_projector = (
            SAFETY_PROJECTORS[config.safety_projector_type](config) if config.use_safety_head else None
        )
        self.safety_head = SafetyHead(config) if config.use_safety_head else None
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, SafetyTokens):
            init.normal_(module.head_tokens, mean=0.0, std=0.02)
            init.normal_(module.prompt_tokens, mean=0.0, std=0.02)
        elif isinstance(module, SafetyHead | CAbstractor | PatchMLP):
            # A fixed std of 0.02 suits widths of thousands; in a narrow model it would all but silence the modules.
            for layer in module.modules():
                if isinstance(layer, nn.Linear | nn.Conv2d):
                    init.normal_(layer.weight, mean=0.0, std=layer.weight[0].numel() ** -0.5)

    @can_return_tuple
    def get_image_features(
        self,
        pixel_values: torch.Tensor,
        vision_feature_layer: int | list[int] | None = None,
        vision_feature_select_strategy: str | None = None,
        **kwargs: Any,
    ) -> tuple | SafeLlavaImageFeatures:
        """
        One pass of the vision tower: the rows that the language model reads and the features that the head reads.

        Args:
            pixel_values (`torch.Tensor` of shape `(num_images, num_channels, height, width)`): the pictures.
            vision_feature_layer (`int` or `list[int]`, *optional*): defaults to the config's.
            vision_feature_select_strategy (`str`, *optional*): `"default"` drops the CLS token, `"full"` keeps it.

        Returns:
            [`SafeLlavaImageFeatures`]
        """
        outputs = super().get_image_features(
            pixel_values,
            vision_feature_layer=vision_feature_layer,
            vision_feature_select_strategy=vision_feature_select_strategy,
            return_dict=True,
            **kwargs,
        )
        if self.safety_tokens is not None:
            _, prompt_tokens = self.safety_tokens()
            outputs.pooler_output = [
                torch.cat([prompt_tokens.to(rows.device, rows.dtype), rows]) for rows in outputs.pooler_output
            ]

        layers = self.config.vision_feature_layer if vision_feature_layer is None else vision_feature_layer
        layers = [layers] if isinstance(layers, int) else layers
        patch_size = self.config.vision_config.patch_size
        grid = (pixel_values.shape[-2] // patch_size, pixel_values.shape[-1] // patch_size)
        features = torch.cat([outputs.hidden_states[layer] for layer in layers], dim=-1)
        return SafeLlavaImageFeatures(**outputs, patch_features=features[:, -grid[0] * grid[1] :], patch_grid=grid)

    def get_image_outputs(
        self,
        pixel_values: torch.Tensor | None,
        mm_encoder_outputs: dict[str, SafeLlavaImageFeatures] | None,
        **kwargs: Any,
    ) -> SafeLlavaImageFeatures | None:
        """The pictures' features: computed from `pixel_values`, or taken from `mm_encoder_outputs["image"]`."""
        if pixel_values is None:
            return (mm_encoder_outputs or {}).get("image")
        if mm_encoder_outputs is not None:
            raise ValueError("You cannot specify both pixel_values and mm_encoder_outputs at the same time")
        return self.get_image_features(pixel_values, return_dict=True, **kwargs)

    def embed_prompt(
        self,
        input_ids: torch.LongTensor | None,
        inputs_embeds: torch.Tensor,
        image_outputs: SafeLlavaImageFeatures | None,
    ) -> torch.Tensor:
        """
        Puts the pictures' rows where their placeholders stand.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`, *optional*):
                The prompt. Without it the placeholders are found by their embedding.
            inputs_embeds (`torch.Tensor` of shape `(batch_size, sequence_length, hidden_size)`): its embeddings.
            image_outputs ([`SafeLlavaImageFeatures`], *optional*): the pictures, in the order of their placeholders.
        """
        if image_outputs is None:
            return inputs_embeds
        rows = torch.cat(image_outputs.pooler_output, dim=0).to(inputs_embeds.device, inputs_embeds.dtype)
        mask = self.get_placeholder_mask(input_ids, inputs_embeds=inputs_embeds, image_features=rows)
        return inputs_embeds.masked_scatter(mask, rows)

    def judge(
        self,
        inputs_embeds: torch.Tensor,
        placeholders: torch.Tensor,
        text_mask: torch.Tensor,
        image_outputs: SafeLlavaImageFeatures | None,
        output_influence: bool = False,
    ) -> tuple[Any, ...]:
        """
        Runs the safety projector and the safety head. No layer of the language model runs.

        Args:
            inputs_embeds (`torch.Tensor` of shape `(batch_size, sequence_length, hidden_size)`): token embeddings.
            placeholders (`torch.BoolTensor` of shape `(batch_size, sequence_length)`): where the pictures stand.
            text_mask (`torch.BoolTensor` of shape `(batch_size, sequence_length)`): where the prompt's text stands.
            image_outputs ([`SafeLlavaImageFeatures`], *optional*): the pictures of all rows.
            output_influence (`bool`, *optional*, defaults to `False`): whether to measure what the verdict rests on.

        Returns:
            Float32 logits of shape `(batch_size, 4)` for the level and `(batch_size, 7)` for the type. With
            `output_influence=True` a [`SafetyInfluence`] follows.

        Raises:
            ValueError: if the model was built without a safety head.
        """
        if self.safety_head is None or self.safety_projector is None:
            raise ValueError("This model has no safety head (`config.use_safety_head=False`), so it cannot assess.")
        device, dtype = inputs_embeds.device, inputs_embeds.dtype
        head_tokens = features = inputs_embeds.new_zeros(0, inputs_embeds.shape[-1])
        feature_rows = torch.zeros(0, dtype=torch.long, device=device)
        if self.safety_tokens is not None:
            head_tokens = self.safety_tokens()[0].to(device, dtype)
        if image_outputs is not None:
            features = self.safety_projector(image_outputs.patch_features, image_outputs.patch_grid).to(device, dtype)
            image_rows = image_outputs.find_rows(placeholders)
            feature_rows = image_rows.repeat_interleave(features.shape[1])
            features = features.flatten(0, 1)
        return self.safety_head(
            inputs_embeds, text_mask, head_tokens, features, feature_rows, output_influence=output_influence
        )

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        vision_feature_layer: int | list[int] | None = None,
        vision_feature_select_strategy: str | None = None,
        image_sizes: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, SafeLlavaImageFeatures] | None = None,
        labels: torch.LongTensor | None = None,
        safety_level: torch.LongTensor | None = None,
        safety_type: torch.LongTensor | None = None,
        output_safety_logits: bool | None = None,
        **kwargs: Any,
    ) -> tuple | SafeLlavaModelOutputWithPast:
        """
        LLaVA's base forward, and the safety head on the same vision features. Arguments beyond LLaVA's are described
        at [`SafeLlavaForConditionalGeneration.forward`]; `labels` only tell the head which tokens are the answer.
        """
        if (input_ids is None) ^ (inputs_embeds is not None):
            raise ValueError("You must specify exactly one of input_ids or inputs_embeds")
        image_outputs = self.get_image_outputs(
            pixel_values,
            mm_encoder_outputs,
            vision_feature_layer=vision_feature_layer,
            vision_feature_select_strategy=vision_feature_select_strategy,
            **({} if image_sizes is None else {"image_sizes": image_sizes}),
        )
        text_embeds = self.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds
        inputs_embeds = self.embed_prompt(input_ids, text_embeds, image_outputs)

        outputs = super().forward(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            **kwargs,
        )
        outputs = SafeLlavaModelOutputWithPast(**outputs)
        outputs.image_hidden_states = None if image_outputs is None else torch.cat(image_outputs.pooler_output)

        if output_safety_logits is None:
            output_safety_logits = self.config.output_safety_logits
        if self.safety_head is not None and output_safety_logits:
            placeholders = self.find_placeholders(input_ids, text_embeds)
            text_mask = ~placeholders
            if attention_mask is not None and attention_mask.shape == text_mask.shape:
                text_mask = text_mask & attention_mask.bool()
            if labels is not None:
                text_mask = text_mask & (labels == -100)
            outputs.level_logits, outputs.type_logits = self.judge(text_embeds, placeholders, text_mask, image_outputs)
            if safety_level is not None and safety_type is not None:
                outputs.level_loss = safety_cross_entropy(outputs.level_logits, safety_level)
                outputs.type_loss = safety_cross_entropy(outputs.type_logits, safety_type)
                outputs.safety_loss = outputs.level_loss + outputs.type_loss
        return outputs

    def find_placeholders(self, input_ids: torch.LongTensor | None, inputs_embeds: torch.Tensor) -> torch.Tensor:
        """Where pictures stand in the prompt, a bool tensor of shape `(batch_size, sequence_length)`."""
        if input_ids is not None:
            return input_ids == self.config.image_token_id
        image_token_id = torch.tensor(self.config.image_token_id, device=inputs_embeds.device)
        return (inputs_embeds == self.get_input_embeddings()(image_token_id)).all(dim=-1)


class SafeLlavaForConditionalGeneration(
    SafeLlavaHubMixin,
    SafeLlavaAssessmentMixin,
    SafeLlavaGenerationMixin,
    LlavaForConditionalGeneration,
    GenerationMixin,
):
    """
    A LLaVA that judges the picture and its question before it answers, in one pass of the vision tower.

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

    def __init__(self, config: SafeLlavaConfig):
        LlavaPreTrainedModel.__init__(self, config)
        self.model = SafeLlavaModel(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.missing_safety_weights: list[str] = []
        self.post_init()

    @classmethod
    def from_pretrained(cls, *args: Any, output_loading_info: bool = False, **kwargs: Any):
        """
        As [`~transformers.PreTrainedModel.from_pretrained`]. When the checkpoint lacks weights of the safety modules
        the model says so and fails closed: every verdict on a picture is untrusted.
        """
        model, loading_info = super().from_pretrained(*args, output_loading_info=True, **kwargs)
        model.missing_safety_weights = sorted(key for key in loading_info["missing_keys"] if "safety_" in key)
        if model.missing_safety_weights:
            logger.warning(
                f"The checkpoint lacks {len(model.missing_safety_weights)} weights of the safety modules, such as "
                f"`{model.missing_safety_weights[0]}`. Until they are trained, every picture is treated as risky. "
                "To start from a stock LLaVA use `safe-llava convert`."
            )
        return (model, loading_info) if output_loading_info else model

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: torch.Tensor | None = None,
        vision_feature_layer: int | list[int] | None = None,
        vision_feature_select_strategy: str | None = None,
        labels: torch.LongTensor | None = None,
        logits_to_keep: int | torch.Tensor = 0,
        image_sizes: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, SafeLlavaImageFeatures] | None = None,
        safety_level: torch.LongTensor | None = None,
        safety_type: torch.LongTensor | None = None,
        output_safety_logits: bool | None = None,
        **kwargs: Any,
    ) -> tuple | SafeLlavaCausalLMOutputWithPast:
        r"""
        Takes what [`~transformers.LlavaForConditionalGeneration.forward`] takes, and:

        Args:
            labels (`torch.LongTensor` of shape `(batch_size, sequence_length)`, *optional*):
                Targets of the language-model loss, -100 on the prompt. The safety head reads only where they are -100,
                so that it never sees the answer.
            safety_level (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                Risk level of each row, 0 to 3, or -100 where it is not known.
            safety_type (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                Risk type of each row, 0 to 6, or -100 where it is not known.
            output_safety_logits (`bool`, *optional*):
                Whether to run the safety head. Defaults to `config.output_safety_logits`.

        Returns:
            [`SafeLlavaCausalLMOutputWithPast`]
        """
        outputs = self.model(
            input_ids=input_ids,
            pixel_values=pixel_values,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            inputs_embeds=inputs_embeds,
            vision_feature_layer=vision_feature_layer,
            vision_feature_select_strategy=vision_feature_select_strategy,
            image_sizes=image_sizes,
            mm_encoder_outputs=mm_encoder_outputs,
            labels=labels,
            safety_level=safety_level,
            safety_type=safety_type,
            output_safety_logits=output_safety_logits,
            **kwargs,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(outputs.last_hidden_state[:, kept, :])
        carried = {name: value for name, value in outputs.items() if name != "last_hidden_state"}
        outputs = SafeLlavaCausalLMOutputWithPast(logits=logits, **carried)

        if labels is not None:
            outputs.lm_loss = self.loss_function(
                logits=logits, labels=labels, vocab_size=self.config.text_config.vocab_size, **kwargs
            )
            outputs.loss = outputs.lm_loss
        if outputs.safety_loss is not None:
            weighted = self.config.safety_loss_coef * outputs.safety_loss
            outputs.loss = weighted if outputs.loss is None else outputs.loss + weighted.to(outputs.loss.device)
        return outputs


# The code travels with every checkpoint, so that it loads with `trust_remote_code=True` where the package is missing.
SafeLlavaForConditionalGeneration.register_for_auto_class("AutoModelForImageTextToText")

__all__ = ["SafeLlavaForConditionalGeneration", "SafeLlavaModel"]
