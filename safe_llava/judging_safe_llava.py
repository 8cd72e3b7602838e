"""From pictures and their questions to the safety head's logits: what the full model and the guard have in common."""

from typing import Any

import torch
from torch import nn
from transformers import initialization as init
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping

from .outputs_safe_llava import SafeLlavaImageFeatures
from .safety_head import SafetyHead, SafetyTokens
from .safety_loss import safety_cross_entropy
from .safety_projector import SAFETY_PROJECTORS, CAbstractor, PatchMLP


# LLaVA's older key layouts are renamed by model type and class name, and third-party classes are left out unless they
# register. Without this a stock checkpoint's language model would load freshly initialised.
for _stock, *_ours in (("llava", "safe_llava"), ("LlavaModel", "SafeLlavaModel", "SafeLlavaGuardModel")):
    for _name in _ours:
        register_checkpoint_conversion_mapping(_name, get_checkpoint_conversion_mapping(_stock), overwrite=True)


class SafeLlavaJudgeMixin:
    """
    Adds the safety modules and their verdict to a model with a vision tower and token embeddings. Mixed into
    [`SafeLlavaModel`] and [`SafeLlavaGuardModel`].
    """

    config: Any
    get_image_features: Any
    get_input_embeddings: Any
    _no_split_modules = ["SafetyTokens", "SafetyHead", "CAbstractor", "PatchMLP"]  # noqa: RUF012

    def add_safety_modules(self, has_prompt_tokens: bool = True) -> None:
        config = self.config
        self.safety_tokens = SafetyTokens(config, has_prompt_tokens) if config.num_safety_tokens else None
        self.safety_projector = (
            SAFETY_PROJECTORS[config.safety_projector_type](config) if config.use_safety_head else None
        )
        self.safety_head = SafetyHead(config) if config.use_safety_head else None

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[misc]
        if isinstance(module, SafetyTokens):
            for tokens in module.parameters():
                init.normal_(tokens, mean=0.0, std=0.02)
        elif isinstance(module, SafetyHead | CAbstractor | PatchMLP):
            # A fixed std of 0.02 suits widths of thousands; in a narrow model it would all but silence the modules.
            for layer in module.modules():
                if isinstance(layer, nn.Linear | nn.Conv2d):
                    init.normal_(layer.weight, mean=0.0, std=layer.weight[0].numel() ** -0.5)

    def get_patch_grid(self, pixel_values: torch.Tensor) -> tuple[int, int]:
        """Patches per column and per row of pictures of shape `(num_images, num_channels, height, width)`."""
        patch_size = self.config.vision_config.patch_size
        return pixel_values.shape[-2] // patch_size, pixel_values.shape[-1] // patch_size

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

    def find_placeholders(self, input_ids: torch.LongTensor | None, inputs_embeds: torch.Tensor) -> torch.Tensor:
        """Where pictures stand in the prompt, a bool tensor of shape `(batch_size, sequence_length)`."""
        if input_ids is not None:
            return input_ids == self.config.image_token_id
        image_token_id = torch.tensor(self.config.image_token_id, device=inputs_embeds.device)
        return (inputs_embeds == self.get_input_embeddings()(image_token_id)).all(dim=-1)

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
        head_tokens = inputs_embeds.new_zeros(0, inputs_embeds.shape[-1])
        features, image_rows = head_tokens.unsqueeze(1), torch.zeros(0, dtype=torch.long, device=device)
        if self.safety_tokens is not None:
            head_tokens = self.safety_tokens()[0].to(device, dtype)
        if image_outputs is not None:
            features = self.safety_projector(image_outputs.patch_features, image_outputs.patch_grid).to(device, dtype)
            image_rows = image_outputs.find_rows(placeholders)
        return self.safety_head(
            inputs_embeds, text_mask, head_tokens, features, image_rows, output_influence=output_influence
        )

    def classify(
        self,
        input_ids: torch.LongTensor | None,
        inputs_embeds: torch.Tensor,
        attention_mask: torch.Tensor | None,
        image_outputs: SafeLlavaImageFeatures | None,
        labels: torch.LongTensor | None = None,
        safety_level: torch.LongTensor | None = None,
        safety_type: torch.LongTensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """`level_logits` and `type_logits`, and with both labels given `level_loss`, `type_loss`, `safety_loss`."""
        placeholders = self.find_placeholders(input_ids, inputs_embeds)
        text_mask = ~placeholders
        if attention_mask is not None and attention_mask.shape == text_mask.shape:
            text_mask = text_mask & attention_mask.bool()
        if labels is not None:
            text_mask = text_mask & (labels == -100)
        level_logits, type_logits = self.judge(inputs_embeds, placeholders, text_mask, image_outputs)
        outputs = {"level_logits": level_logits, "type_logits": type_logits}
        if safety_level is not None and safety_type is not None:
            outputs["level_loss"] = safety_cross_entropy(level_logits, safety_level)
            outputs["type_loss"] = safety_cross_entropy(type_logits, safety_type)
            outputs["safety_loss"] = outputs["level_loss"] + outputs["type_loss"]
        return outputs
