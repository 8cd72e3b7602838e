"""What all SafeLLaVAs are built of: the inner model with its safety modules, and the one that answers."""

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig
from transformers.cache_utils import Cache
from transformers.utils.generic import can_return_tuple

from .generation_safe_llava import SafeLlavaGenerationMixin
from .image_batches import refuse_videos
from .image_tiles import find_base_tiles
from .outputs_safe_llava import (
    CACHE_NAME,
    SafeLlavaCausalLMOutputWithPast,
    SafeLlavaModelOutputWithPast,
    name_image_outputs,
)
from .pretrained_safe_llava import SafeLlavaPreTrainedModel
from .safety_modules import SafeLlavaImageFeatures, SafetyModules, encode_images, read_patches
from .vision_features import find_vision_layers


class SafetyModelMixin(SafeLlavaPreTrainedModel):
    """
    Goes before the inner model of a LLaVA: the vision tower, the projector and the language model without its head get
    safety modules.
    """

    def __init__(self, config: PreTrainedConfig):
        super().__init__(config)
        self.safety_modules = SafetyModules(config)
        self.post_init()

    @property
    def vision_layers(self) -> list[int]:
        """The hidden states of the vision tower that the head reads."""
        return find_vision_layers(self.config)

    @can_return_tuple
    def get_image_features(
        self,
        pixel_values: torch.Tensor,
        *,  # The second one of some LLaVAs is another.
        vision_feature_layer: int | list[int] | None = None,
        vision_feature_select_strategy: str | None = None,
        image_sizes: torch.Tensor | None = None,
        batch_num_images: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple | SafeLlavaImageFeatures:
        """
        One pass of the vision tower: the rows that the language model reads and the features that the head reads. A
        frozen tower keeps nothing for backward, even where gradient checkpointing makes every embedding require grad.

        Args:
            pixel_values (`torch.Tensor` of shape `(num_images, num_channels, height, width)`):
                The images; where the model cuts them, of shape `(num_images, num_tiles, num_channels, height, width)`.
            vision_feature_layer (`int` or `list[int]`, *optional*):
                What the language model reads; the head reads `config.safety_feature_layer`. Defaults to the config's.
            vision_feature_select_strategy (`str`, *optional*): `"default"` drops the CLS token, `"full"` keeps it.
            image_sizes, batch_num_images (`torch.Tensor`, *optional*): what else the processor says of the images.

        Returns:
            [`SafeLlavaImageFeatures`]
        """
        given = {"image_sizes": image_sizes, "batch_num_images": batch_num_images}
        given = {name: value for name, value in given.items() if value is not None}
        tiles = self.find_tiles(**given)
        stock = [*self.vision_tower.parameters(), *self.multi_modal_projector.parameters()]
        stock += self.parameters(recurse=False)  # What ends each line of tiles.
        read = self.config.vision_feature_layer if vision_feature_layer is None else vision_feature_layer
        if not kwargs.get("output_hidden_states"):  # Else only what the language model reads would be kept.
            kwargs["output_hidden_states"] = [*([read] if isinstance(read, int) else read), *self.vision_layers]
        has_gradients = pixel_values.requires_grad or any(parameter.requires_grad for parameter in stock)
        with torch.set_grad_enabled(has_gradients and torch.is_grad_enabled()):
            outputs = super().get_image_features(
                pixel_values,
                vision_feature_layer=vision_feature_layer,
                vision_feature_select_strategy=vision_feature_select_strategy,
                return_dict=True,
                **given,
                **kwargs,
            )
        patches, grid = read_patches(self.config, outputs.hidden_states, self.vision_layers, pixel_values.shape)
        if tiles is not None and not self.safety_modules.reads_all_tiles:
            patches, tiles = patches[find_base_tiles(tiles)], None
        rows = self.safety_modules.prepend_prompt_tokens(outputs.pooler_output)
        return SafeLlavaImageFeatures(
            # A tower's output may have fields of its own, and lack the usual ones.
            **{name: outputs.get(name) for name in ("last_hidden_state", "hidden_states", "attentions")},
            pooler_output=rows,
            patch_features=patches,
            patch_grid=grid,
            tiles=tiles,
            num_placeholders=[len(of_image) for of_image in rows],
        )

    def embed_prompt(
        self,
        input_ids: torch.LongTensor | None,
        inputs_embeds: torch.Tensor,
        image_outputs: SafeLlavaImageFeatures | None,
    ) -> torch.Tensor:
        """
        Puts the images' rows where their placeholders stand.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`, *optional*):
                The prompt. Without it the placeholders are found by their embedding.
            inputs_embeds (`torch.Tensor` of shape `(batch_size, sequence_length, hidden_size)`): its embeddings.
            image_outputs ([`SafeLlavaImageFeatures`], *optional*): the images, in the order of their placeholders.
        """
        if image_outputs is None:
            return inputs_embeds
        rows = torch.cat(image_outputs.pooler_output, dim=0).to(inputs_embeds.device, inputs_embeds.dtype)
        mask = self.get_placeholder_mask(input_ids, inputs_embeds=inputs_embeds, image_features=rows)
        # Where videos have placeholders of their own, a mask for each kind.
        return inputs_embeds.masked_scatter(mask[0] if isinstance(mask, tuple) else mask, rows)

    def find_placeholders(self, input_ids: torch.LongTensor | None, inputs_embeds: torch.Tensor) -> torch.Tensor:
        """Where images stand in the prompt, a bool tensor of shape `(batch_size, sequence_length)`."""
        if input_ids is not None:
            return input_ids == self.config.image_token_id
        image_token_id = torch.tensor(self.config.image_token_id, device=inputs_embeds.device)
        return (inputs_embeds == self.get_input_embeddings()(image_token_id)).all(dim=-1)

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
        batch_num_images: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, SafeLlavaImageFeatures] | None = None,
        labels: torch.LongTensor | None = None,
        safety_level: torch.Tensor | None = None,
        safety_type: torch.Tensor | None = None,
        output_safety_logits: bool | None = None,
        cache: Cache | None = None,
        **kwargs: Any,
    ) -> tuple | SafeLlavaModelOutputWithPast:
        """
        LLaVA's base forward, and the safety head on the same vision features. Arguments beyond LLaVA's are described
        at [`SafetyCausalLMMixin.forward`]; `labels` only tell the head which tokens are the answer.
        """
        if (input_ids is None) ^ (inputs_embeds is not None):
            raise ValueError("You must specify exactly one of input_ids or inputs_embeds")
        refuse_videos(kwargs, mm_encoder_outputs)
        image_outputs = encode_images(
            self,
            pixel_values,
            mm_encoder_outputs,
            vision_feature_layer=vision_feature_layer,
            vision_feature_select_strategy=vision_feature_select_strategy,
            image_sizes=image_sizes,
            batch_num_images=batch_num_images,
        )
        text_embeds = self.get_input_embeddings()(input_ids) if inputs_embeds is None else inputs_embeds
        inputs_embeds = self.embed_prompt(input_ids, text_embeds, image_outputs)

        # Not through the parent's forward: each output that is made anew is felt in every decoding step.
        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            **{CACHE_NAME: past_key_values if cache is None else cache},
            **kwargs,
        )
        outputs = SafeLlavaModelOutputWithPast(**outputs, **name_image_outputs(image_outputs))

        if output_safety_logits is None:
            output_safety_logits = self.config.output_safety_logits
        if self.safety_modules.head is not None and output_safety_logits:
            scores = self.safety_modules(
                text_embeds,
                self.find_placeholders(input_ids, text_embeds),
                image_outputs,
                attention_mask,
                labels,
                safety_level,
                safety_type,
            )
            for name, value in scores.items():
                outputs[name] = value
        return outputs


class SafetyCausalLMMixin(SafeLlavaGenerationMixin):
    """Goes before a LLaVA that answers. `inner_class` is what it is with [`SafetyModelMixin`], without its head."""

    inner_class: type[SafetyModelMixin]

    def __init__(self, config: PreTrainedConfig):
        SafeLlavaPreTrainedModel.__init__(self, config)  # type: ignore[call-arg]
        self.model = self.inner_class(config)
        self.lm_head = nn.Linear(config.text_config.hidden_size, config.text_config.vocab_size, bias=False)
        self.post_init()

    def get_image_features(self, pixel_values: torch.Tensor, **kwargs: Any) -> tuple | SafeLlavaImageFeatures:
        """As [`SafetyModelMixin.get_image_features`]."""
        return self.model.get_image_features(pixel_values, **kwargs)

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
        batch_num_images: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, SafeLlavaImageFeatures] | None = None,
        safety_level: torch.Tensor | None = None,
        safety_type: torch.Tensor | None = None,
        output_safety_logits: bool | None = None,
        cache: Cache | None = None,
        **kwargs: Any,
    ) -> tuple | SafeLlavaCausalLMOutputWithPast:
        r"""
        Takes what the `forward` of the LLaVA takes that this model is made from, and:

        Args:
            labels (`torch.LongTensor` of shape `(batch_size, sequence_length)`, *optional*):
                Targets of the language-model loss, -100 on the prompt. The safety head reads only where they are -100,
                so that it never sees the answer.
            safety_level (`torch.Tensor` of shape `(batch_size,)` or `(batch_size, 4)`, *optional*):
                Risk level of each row, 0 to 3, or -100 where it is not known; or a bool mask of the levels that are
                possible, whose loss is -log of the probability that one of them is found.
            safety_type (`torch.Tensor` of shape `(batch_size,)` or `(batch_size, 7)`, *optional*):
                Risk type of each row, 0 to 6, or -100 where it is not known; or a bool mask of the possible types.
            output_safety_logits (`bool`, *optional*):
                Whether to run the safety head. Defaults to `config.output_safety_logits`.
            cache ([`~transformers.Cache`], *optional*):
                What transformers 5.24 and later call `past_key_values`. Either name works with every version.

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
            batch_num_images=batch_num_images,
            mm_encoder_outputs=mm_encoder_outputs,
            labels=labels,
            safety_level=safety_level,
            safety_type=safety_type,
            output_safety_logits=output_safety_logits,
            cache=cache,
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
