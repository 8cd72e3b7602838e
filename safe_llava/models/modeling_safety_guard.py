"""Guards: SafeLLaVAs that only assess, without a layer of the language model, from the same checkpoints."""

import copy
import inspect
from typing import Any

import torch
from torch import nn
from transformers import AutoModel, PreTrainedConfig
from transformers.utils.generic import can_return_tuple

from .image_batches import refuse_videos
from .image_tiles import find_base_tiles
from .outputs_safe_llava import SafeLlavaSafetyClassifierOutput
from .pretrained_safe_llava import SafeLlavaPreTrainedModel
from .safety_assessment import SafeLlavaAssessmentMixin
from .safety_modules import SafeLlavaImageFeatures, SafetyModules, check_placeholders, encode_images, read_patches
from .vision_features import shorten_vision_tower


_CARD_LOADING_SECTION = """## Load it

This is the guard: the part of a SafeLLaVA that assesses images. It gives the verdicts of the whole model and cannot
answer.

```python
from transformers import pipeline

# Where the package is installed, `import safe_llava` takes the place of `trust_remote_code`.
pipe = pipeline("safety-classification", model="org/safe-llava", trust_remote_code=True)
pipe(["image.png", {"image": "image.png", "text": "Who is this?"}], batch_size=8)
```

`AutoModelForImageClassification` and `AutoProcessor` load it too; `model.assess(**inputs)` gives the verdict.
"""


class SafetyGuardModelMixin(SafeLlavaPreTrainedModel):
    """
    Goes before the pretrained class of a LLaVA: the parts of the whole model that a verdict needs, under the same
    names. They are the vision tower up to the last layer that is read, the token embeddings, s1, the safety projector
    and the safety head.
    """

    def __init__(self, config: PreTrainedConfig):
        super().__init__(config)
        vision_config, self.vision_layers = shorten_vision_tower(config)
        self.vision_tower = AutoModel.from_config(vision_config)
        text_config = copy.deepcopy(config.text_config)
        text_config.num_hidden_layers = 0
        self.language_model = AutoModel.from_config(text_config)
        # What stands behind the layers is not read either.
        self.language_model.norm = nn.Identity()
        self.safety_modules = SafetyModules(config, has_prompt_tokens=False)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    def count_rows(self, num_patches: int, num_images: int, **image_arguments: Any) -> list[int]:
        """
        How many rows of the language model each image takes beside the safety tokens.

        Args:
            num_patches (`int`): what the vision tower makes of a tile, without what the config drops.
            num_images (`int`): how many images there are.
            image_arguments (`Any`): what the processor says of them.
        """
        raise NotImplementedError

    @can_return_tuple
    def get_image_features(self, pixel_values: torch.Tensor, **kwargs: Any) -> tuple | SafeLlavaImageFeatures:
        """
        One pass of the vision tower: the features that the head reads. Of an image that is cut into tiles, the tower
        sees those that the head reads.

        Args:
            pixel_values (`torch.Tensor` of shape `(num_images, num_channels, height, width)`):
                The images; where the model cuts them, of shape `(num_images, num_tiles, num_channels, height, width)`.
            kwargs (`Any`):
                What else the processor says of the images, and what the vision tower's `forward` takes;
                `output_hidden_states` and `output_attentions`.

        Returns:
            [`SafeLlavaImageFeatures`] without the rows of a language model.
        """
        image_arguments = {name: kwargs.pop(name) for name in self.image_arguments if name in kwargs}
        for name in ("output_hidden_states", "output_attentions"):
            if kwargs.get(name) is None:
                kwargs[name] = bool(getattr(self.config, name, False))
        all_hidden_states = kwargs.pop("output_hidden_states")
        if not isinstance(all_hidden_states, bool):
            raise ValueError(f"`output_hidden_states` must be True or False, not {all_hidden_states!r}.")
        if (tiles := self.find_tiles(**image_arguments)) is not None:
            if pixel_values.dim() == 5:  # Behind an image's tiles stands what fills up its row of the batch.
                pixel_values = torch.cat([of[: grid.num_tiles] for of, grid in zip(pixel_values, tiles)])
            if not self.safety_modules.reads_all_tiles:
                pixel_values, tiles = pixel_values[find_base_tiles(tiles)], None
        elif image_arguments:
            kwargs |= image_arguments
        outputs = self.vision_tower(
            pixel_values, output_hidden_states=all_hidden_states or self.vision_layers, return_dict=True, **kwargs
        )
        patches, grid = read_patches(self.config, outputs.hidden_states, self.vision_layers, pixel_values.shape)
        num_positions = outputs.hidden_states[self.vision_layers[0]].shape[1]
        num_patches = num_positions - int(self.config.vision_feature_select_strategy == "default")
        rows = self.count_rows(num_patches, len(patches), **image_arguments)
        return SafeLlavaImageFeatures(
            patch_features=patches,
            patch_grid=grid,
            tiles=tiles,
            num_placeholders=[self.config.num_safety_tokens + number for number in rows],
            hidden_states=outputs.hidden_states if all_hidden_states else None,
            attentions=outputs.get("attentions"),
        )


class SafetyClassificationMixin(SafeLlavaAssessmentMixin):
    """
    Goes before the pretrained class of a LLaVA: assesses images and their questions, and cannot answer them.
    `inner_class` is what it is without the losses.
    """

    inner_class: type[SafetyGuardModelMixin]
    # `Trainer` would take `**kwargs` for a loss that counts the rows of all accumulation steps itself.
    accepts_loss_kwargs = False
    is_guard = True
    card_pipeline_tag = "image-classification"
    card_loading_section = _CARD_LOADING_SECTION
    # The parts of a full checkpoint that are left unread. Keys that the guard has are never unexpected.
    _keys_to_ignore_on_load_unexpected = [  # noqa: RUF012
        r"(^|\.)lm_head\.",
        r"(^|\.)multi_modal_projector\.",
        r"(^|\.)image_newline$",
        r"(^|\.)language_model\.",
        r"(^|\.)vision_tower\.",
        r"(^|\.)safety_modules\.tokens\.prompt_tokens$",
    ]

    def __init__(self, config: PreTrainedConfig):
        super().__init__(config)
        if not config.use_safety_head:
            raise ValueError("A guard needs a safety head, and this checkpoint has `use_safety_head=False`.")
        self.model = self.inner_class(config)
        self.post_init()

    def get_image_features(self, pixel_values: torch.Tensor, **kwargs: Any) -> tuple | SafeLlavaImageFeatures:
        """As [`SafetyGuardModelMixin.get_image_features`]."""
        return self.model.get_image_features(pixel_values, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, SafeLlavaImageFeatures] | None = None,
        image_sizes: torch.Tensor | None = None,
        batch_num_images: torch.Tensor | None = None,
        safety_level: torch.Tensor | None = None,
        safety_type: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs: Any,
    ) -> tuple | SafeLlavaSafetyClassifierOutput:
        r"""
        The head's logits, those of the whole model's `forward`. For probabilities at the policy's
        temperature, and for what may be trusted, see `assess`.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`): the prompts, any padding side.
            pixel_values (`torch.Tensor` of shape `(num_images, num_channels, height, width)`, *optional*):
                All images, in the order of their placeholders. Any number in a row.
            attention_mask (`torch.LongTensor` of shape `(batch_size, sequence_length)`, *optional*):
                0 where there is padding. Defaults to no padding.
            mm_encoder_outputs (`dict`, *optional*):
                `{"image": model.get_image_features(...)}`, in place of `pixel_values`.
            image_sizes, batch_num_images (`torch.Tensor`, *optional*): what else the processor says of the images.
            safety_level (`torch.Tensor` of shape `(batch_size,)` or `(batch_size, 4)`, *optional*):
                Risk level of each row, 0 to 3, or -100 where it is not known; or a bool mask of the levels that are
                possible, whose loss is -log of the probability that one of them is found.
            safety_type (`torch.Tensor` of shape `(batch_size,)` or `(batch_size, 7)`, *optional*):
                Risk type of each row, 0 to 6, or -100 where it is not known; or a bool mask of the possible types.
            labels (`torch.Tensor` of shape `(batch_size,)` or `(batch_size, 7)`, *optional*):
                The same as `safety_type`, by the name that models for image classification give it.
            output_hidden_states (`bool`, *optional*):
                Whether to return the vision tower's. Defaults to `config.output_hidden_states`.
            output_attentions (`bool`, *optional*):
                Whether to return the vision tower's, which attention other than "eager" does not give. Defaults to
                `config.output_attentions`.
            kwargs (`Any`): what else the vision tower's `forward` takes, such as `interpolate_pos_encoding`.

        Returns:
            [`SafeLlavaSafetyClassifierOutput`]

        Raises:
            ValueError: if there is no prompt, if images and placeholders do not match, or if arguments contradict each
                other.
            TypeError: if the vision tower takes no argument of that name.
        """
        if labels is not None:
            safety_type = _as_types(labels, safety_type)
        if input_ids is None:
            raise ValueError(
                "`input_ids` is missing: the guard assesses an image together with its question. For images alone "
                'use `pipeline("safety-classification", ...)`, which asks a neutral question.'
            )
        refuse_videos(kwargs, mm_encoder_outputs)
        placeholders = input_ids == self.config.image_token_id
        num_placeholders = placeholders.sum(dim=1).tolist()
        known = inspect.signature(self.model.vision_tower.forward).parameters
        if unknown := sorted(name for name in kwargs if name not in known):
            raise TypeError(f"forward() got an unexpected keyword argument {unknown[0]!r}")
        asked = {**kwargs, "output_hidden_states": output_hidden_states, "output_attentions": output_attentions}
        asked = {name: value for name, value in asked.items() if value is not None}
        if mm_encoder_outputs is not None and asked:
            raise ValueError(
                f"`mm_encoder_outputs` are computed already; give {', '.join(asked)} where they are made."
            )
        image_outputs = encode_images(
            self,
            pixel_values,
            mm_encoder_outputs,
            image_sizes=image_sizes,
            batch_num_images=batch_num_images,
            **asked,
        )
        check_placeholders(num_placeholders, image_outputs)
        scores = self.model.safety_modules(
            self.get_input_embeddings()(input_ids),
            placeholders,
            image_outputs,
            attention_mask,
            safety_level=safety_level,
            safety_type=safety_type,
        )
        return SafeLlavaSafetyClassifierOutput(
            loss=scores.pop("safety_loss", None),
            **scores,
            hidden_states=None if image_outputs is None else image_outputs.hidden_states,
            attentions=None if image_outputs is None else image_outputs.attentions,
        )


def _as_types(labels: torch.Tensor, safety_type: torch.Tensor | None) -> torch.Tensor:
    if safety_type is not None:
        raise ValueError("`labels` and `safety_type` are the same: the risk type of each row. Give one of them.")
    if labels.dim() != (2 if labels.dtype == torch.bool else 1):
        raise ValueError(
            "`labels` must be the risk type of each row, of shape (batch_size,), or a bool mask of the possible "
            f"types, of shape (batch_size, 7), not {labels.dtype} of shape {tuple(labels.shape)}."
        )
    return labels
