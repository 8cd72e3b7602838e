"""The safety tokens, the safety projector and the safety head as one module, which the full model and the guard hold.

Paper: "Safety Alignment for Vision Language Models", arXiv 2405.13581, section 3.2; the loss of section 3.3 is
L = L_LM + 10 * (CE(level) + CE(type)), with the weight in `config.safety_loss_coef`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from .image_batches import IMAGE_ARGUMENTS
from .image_tiles import TileGrid, TilePositions, find_base_tiles, merge_tiles
from .safety_evidence import SafetyEvidence, locate_evidence, map_relevance, measure_influence
from .safety_head import HeadInputs, SafetyHead
from .safety_loss import safety_cross_entropy
from .safety_projector import SAFETY_PROJECTORS, CAbstractor, PatchMLP
from .safety_tokens import SafetyTokens
from .vision_features import find_patch_grid


@dataclass
class SafeLlavaImageFeatures(BaseModelOutputWithPooling):
    """
    What `get_image_features` returns. `pooler_output` is a list with, for each image, the
    `(num_safety_tokens + num_rows_of_the_image, hidden_size)` rows [s2; h_i] that the language model reads; `None`
    from a guard.

    Args:
        patch_features (`torch.Tensor` of shape `(num_tiles, num_patches, vision_hidden_size)`):
            The vision tower's selected features h_o without the CLS token, from which the safety projector works: one
            after the other those of each image, or of the tiles of each that the head reads.
        patch_grid (`tuple[int, int]`):
            Patches per column and per row.
        num_placeholders (`list[int]`):
            Positions that each image takes in the prompt.
        tiles (`list[TileGrid]`, *optional*):
            How each image is cut, where the head reads all tiles; else it reads one of each image.
    """

    patch_features: torch.Tensor | None = None
    patch_grid: tuple[int, int] | None = None
    num_placeholders: list[int] | None = None
    tiles: list[TileGrid] | None = None

    def find_rows(self, placeholders: torch.Tensor) -> torch.Tensor:
        """
        The row of the batch that each image belongs to, of shape `(num_images,)`.

        Args:
            placeholders (`torch.BoolTensor` of shape `(batch_size, sequence_length)`): where the images stand.
        """
        # Images fill the placeholders of the whole batch one after the other.
        last_placeholder = torch.tensor(self.num_placeholders, device=placeholders.device).cumsum(dim=0)
        return torch.bucketize(last_placeholder, placeholders.sum(dim=1).cumsum(dim=0))

    def select(self, images: Sequence[int]) -> "SafeLlavaImageFeatures":
        """The features of some images, by their indices, which do not hold on to those of the others."""
        sizes: Any = self.num_placeholders
        rows: Any = self.pooler_output
        patches: Any = self.patch_features
        read = list(images)
        if self.tiles is not None:
            firsts = find_base_tiles(self.tiles)
            read = [firsts[image] + place for image in images for place in range(self.tiles[image].num_tiles)]
        return SafeLlavaImageFeatures(
            pooler_output=None if rows is None else [rows[image] for image in images],  # type: ignore[arg-type]
            patch_features=None if patches is None else patches[read],
            patch_grid=self.patch_grid,
            num_placeholders=[sizes[image] for image in images],
            tiles=None if self.tiles is None else [self.tiles[image] for image in images],
        )

    @property
    def num_images(self) -> int:
        """How many images there are, in all rows of the batch."""
        return len(self.num_placeholders or ())

    def require_tiles(self) -> list[TileGrid]:
        """How each image is cut; raises a `ValueError` where the features are those of base tiles alone."""
        if self.tiles is None:
            raise ValueError(
                '`mm_encoder_outputs["image"]` holds base tiles alone, and this model reads all tiles '
                '(`config.safety_tiles="all"`). Pass what `get_image_features` of this very model returned.'
            )
        return self.tiles

    @property
    def tile_images(self) -> torch.Tensor:
        """The image that each tile which the head reads is of, a `torch.LongTensor` of shape `(num_tiles,)`."""
        numbers = [1] * self.num_images if self.tiles is None else [grid.num_tiles for grid in self.tiles]
        images = [image for image, number in enumerate(numbers) for _ in range(number)]
        return torch.tensor(images, dtype=torch.long, device=getattr(self.patch_features, "device", None))


class SafetyModules(nn.Module):
    """
    What SafeLLaVA adds to a LLaVA: `tokens`, `projector`, `head` and, where the head reads all tiles of an image,
    `tile_positions`; each `None` where the config leaves it out.

    Args:
        config ([`SafeLlavaConfig`]): gives the sizes of both backbones and of the modules.
        has_prompt_tokens (`bool`, *optional*, defaults to `True`): whether a language model reads s2.
    """

    def __init__(self, config: PreTrainedConfig, has_prompt_tokens: bool = True):
        super().__init__()
        self.tokens = SafetyTokens(config, has_prompt_tokens) if config.num_safety_tokens else None
        has_head = config.use_safety_head
        self.projector = SAFETY_PROJECTORS[config.safety_projector_type](config) if has_head else None
        self.head = SafetyHead(config) if has_head else None
        self.tile_positions = TilePositions(config) if has_head and config.safety_tiles == "all" else None
        # Layer by layer, for transformers passes over a container whose own parameters are all there.
        for layer in self.modules():
            layer.is_safety_layer = isinstance(layer, nn.Linear | nn.Conv2d)  # type: ignore[assignment]

    @property
    def reads_all_tiles(self) -> bool:
        """Whether the head reads all tiles of an image, and not the base tile alone."""
        return self.tile_positions is not None

    def prepend_prompt_tokens(self, image_rows: list[torch.Tensor]) -> list[torch.Tensor]:
        """[s2; h_i] of each image, from its h_i of shape `(num_patches, hidden_size)`."""
        if self.tokens is None:
            return image_rows
        _, prompt_tokens = self.tokens()
        return [torch.cat([prompt_tokens.to(rows.device, rows.dtype), rows]) for rows in image_rows]

    def require_head(self) -> tuple[CAbstractor | PatchMLP, SafetyHead]:
        """The projector and the head; raises a `ValueError` where the model was built without them."""
        if self.projector is None or self.head is None:
            raise ValueError("This model has no safety head (`config.use_safety_head=False`), so it cannot assess.")
        return self.projector, self.head

    def prepare_head_inputs(
        self,
        text_embeds: torch.Tensor,
        placeholders: torch.Tensor,
        image_outputs: SafeLlavaImageFeatures | None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
    ) -> HeadInputs:
        """What the head reads: s1 and h_s of the images, and the prompt's text without padding, images and answer."""
        projector, _ = self.require_head()
        text_mask = ~placeholders
        if attention_mask is not None and attention_mask.shape == text_mask.shape:
            text_mask = text_mask & attention_mask.to(text_mask.device).bool()
        if labels is not None:
            text_mask = text_mask & (labels == -100)
        device, dtype = text_embeds.device, text_embeds.dtype
        head_tokens = text_embeds.new_zeros(0, text_embeds.shape[-1])
        features, image_rows = head_tokens.unsqueeze(1), torch.zeros(0, dtype=torch.long, device=device)
        if self.tokens is not None:
            head_tokens = self.tokens()[0].to(device, dtype)
        if image_outputs is not None:
            features = projector(image_outputs.patch_features, image_outputs.patch_grid).to(device, dtype)
            image_rows = image_outputs.find_rows(placeholders)
            if self.tile_positions is not None:
                features = features + self.tile_positions(image_outputs.require_tiles()).to(device, dtype)
                image_rows = image_rows[image_outputs.tile_images.to(device)]
        return HeadInputs(text_embeds, text_mask, head_tokens, features, image_rows)

    def forward(
        self,
        text_embeds: torch.Tensor,
        placeholders: torch.Tensor,
        image_outputs: SafeLlavaImageFeatures | None,
        attention_mask: torch.Tensor | None = None,
        labels: torch.LongTensor | None = None,
        safety_level: torch.Tensor | None = None,
        safety_type: torch.Tensor | None = None,
    ) -> dict[str, torch.Tensor]:
        """
        Runs the safety projector and the safety head. No layer of the language model runs.

        Args:
            text_embeds (`torch.Tensor` of shape `(batch_size, sequence_length, hidden_size)`): token embeddings.
            placeholders (`torch.BoolTensor` of shape `(batch_size, sequence_length)`): where the images stand.
            image_outputs ([`SafeLlavaImageFeatures`], *optional*): the images of all rows.
            attention_mask (`torch.Tensor` of shape `(batch_size, sequence_length)`, *optional*): 0 at padding.
            labels (`torch.LongTensor` of shape `(batch_size, sequence_length)`, *optional*): -100 but on the answer.
            safety_level (`torch.Tensor` of shape `(batch_size,)` or `(batch_size, 4)`, *optional*):
                Risk levels, -100 if not known, or a bool mask of possible levels.
            safety_type (`torch.Tensor` of shape `(batch_size,)` or `(batch_size, 7)`, *optional*):
                Risk types, -100 if not known, or a bool mask of possible types.

        Returns:
            Float32 `level_logits` of shape `(batch_size, 4)` and `type_logits` of shape `(batch_size, 7)`; for labels
            that are given also `level_loss`, `type_loss` and their sum `safety_loss`.

        Raises:
            ValueError: if the model was built without a safety head.
        """
        inputs = self.prepare_head_inputs(text_embeds, placeholders, image_outputs, attention_mask, labels)
        _, head = self.require_head()
        level_logits, type_logits = head(*inputs)
        outputs = {"level_logits": level_logits, "type_logits": type_logits}
        if safety_level is not None:
            outputs["level_loss"] = safety_cross_entropy(level_logits, safety_level)
        if safety_type is not None:
            outputs["type_loss"] = safety_cross_entropy(type_logits, safety_type)
        losses = [outputs[name] for name in ("level_loss", "type_loss") if name in outputs]
        if losses:
            outputs["safety_loss"] = torch.stack(losses).sum()
        return outputs

    def explain(
        self,
        inputs: HeadInputs,
        image_outputs: SafeLlavaImageFeatures | None,
        type_logits: torch.Tensor,
        trusted: torch.Tensor,
        image_rows: torch.Tensor,
    ) -> SafetyEvidence:
        """
        What the verdict rests on.

        Args:
            inputs ([`HeadInputs`]): what the head read.
            image_outputs ([`SafeLlavaImageFeatures`], *optional*): the images of all rows.
            type_logits (`torch.FloatTensor` of shape `(batch_size, 7)`): what the head made of it.
            trusted (`torch.BoolTensor` of shape `(batch_size,)`): the rows whose verdict can be believed.
            image_rows (`torch.LongTensor` of shape `(num_tiles,)`):
                The row of each image, or of each tile where the head reads all, read or not.
        """
        projector, head = self.require_head()
        influence = measure_influence(head, *inputs, type_logits)
        patch_grid: Any = (1, 1) if image_outputs is None else image_outputs.patch_grid
        maps = map_relevance(influence.of_images, projector.token_grid(patch_grid), patch_grid)
        if self.tile_positions is not None and image_outputs is not None:
            (rows, columns), (height, width) = self.tile_positions.grid, patch_grid
            tiles = image_outputs.require_tiles()
            maps = merge_tiles(maps, tiles, (rows * height, columns * width))
            image_rows = image_rows[find_base_tiles(tiles)]
        return locate_evidence(influence, maps, image_rows.to(trusted.device), trusted)


def read_patches(
    config: PreTrainedConfig, hidden_states: Sequence[torch.Tensor], layers: Sequence[int], images: torch.Size
) -> tuple[torch.Tensor, tuple[int, int]]:
    """
    The patches of some hidden states side by side, of shape `(num_images, num_patches, width)`, and how many stand in
    a column and in a row. Nothing in it depends on how many images there are, so that it can be traced.

    Args:
        config ([`SafetyConfigMixin`]): see [`~safe_llava.models.vision_features.find_patch_grid`].
        hidden_states (`Sequence[torch.Tensor]`): those of the vision tower.
        layers (`Sequence[int]`): which of them.
        images (`torch.Size`): `(num_images, num_channels, height, width)`.
    """
    features = torch.cat([hidden_states[layer] for layer in layers], dim=-1)
    grid = find_patch_grid(config, features.shape, images)
    return features[:, features.shape[1] - grid[0] * grid[1] :], grid


def encode_images(
    model: PreTrainedModel,
    pixel_values: torch.Tensor | None,
    mm_encoder_outputs: dict[str, SafeLlavaImageFeatures] | None,
    **kwargs: Any,
) -> SafeLlavaImageFeatures | None:
    """
    The images' features: computed from `pixel_values`, or taken from `mm_encoder_outputs["image"]`. Of `kwargs`,
    which `get_image_features` gets, those that are `None` count as left out.
    """
    if pixel_values is None:
        return (mm_encoder_outputs or {}).get("image")
    if mm_encoder_outputs is not None:
        raise ValueError("You cannot specify both pixel_values and mm_encoder_outputs at the same time")
    kwargs = {name: value for name, value in kwargs.items() if value is not None}
    if unknown := sorted((kwargs.keys() & IMAGE_ARGUMENTS).difference(model.image_arguments)):
        raise TypeError(f"`{unknown[0]}` means nothing to a {model.config.model_type}. Leave it out.")
    return model.get_image_features(pixel_values, return_dict=True, **kwargs)


def check_placeholders(counts: list[int], image_outputs: SafeLlavaImageFeatures | None) -> None:
    """
    Raises a `ValueError` unless each row holds whole images and all rows together hold all images, by the number of
    placeholders in each row, and the images' features are those that the head reads.
    """
    known = ("patch_features", "patch_grid", "num_placeholders")
    if image_outputs is not None and any(getattr(image_outputs, name, None) is None for name in known):
        raise ValueError(
            '`mm_encoder_outputs["image"]` lacks what the safety head reads. Pass what '
            "`model.get_image_features(pixel_values)` of this very model returned, or `pixel_values`."
        )
    sizes: Any = [] if image_outputs is None else image_outputs.num_placeholders
    ends = {0, *accumulate(sizes)}
    if sum(counts) != sum(sizes) or not ends.issuperset(accumulate(counts)):
        tokens = f" of {', '.join(map(str, sorted(set(sizes))))} tokens each" if sizes else ""
        raise ValueError(
            f"Images and placeholders do not match: the rows of `input_ids` hold {counts} image tokens, and there are "
            f"{len(sizes)} images{tokens}. Build both with one call of the processor."
        )
