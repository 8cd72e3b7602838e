"""The safety projector: vision features to the safety features h_s that only the safety head reads.

Papers:
    C-Abstractor: Cha et al., "Honeybee: Locality-enhanced Projector for Multimodal LLM", CVPR 2024, section 4.
    Its block: Radosavovic et al., "Designing Network Design Spaces", CVPR 2020 (RegNet, with squeeze-and-excitation).
    Its place here: "Safety Alignment for Vision Language Models", arXiv 2405.13581, section 3.2.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedConfig

from .vision_features import find_vision_layers


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of a (batch, channels, height, width) tensor."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return super().forward(hidden_states.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SqueezeExcitation(nn.Module):
    """Reweights channels by what the whole image holds (RegNet's ratio of 1/4)."""

    def __init__(self, channels: int, reduced_channels: int):
        super().__init__()
        self.reduce = nn.Conv2d(channels, reduced_channels, kernel_size=1)
        self.expand = nn.Conv2d(reduced_channels, channels, kernel_size=1)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        pooled = hidden_states.mean(dim=(2, 3), keepdim=True)
        return hidden_states * self.expand(F.silu(self.reduce(pooled))).sigmoid()


class RegNetBottleneck(nn.Module):
    """A RegNet bottleneck: 1x1, depthwise 3x3, squeeze-and-excitation and 1x1 convolutions with a shortcut."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False)
        self.norm1 = LayerNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, kernel_size=3, padding=1, groups=out_channels, bias=False)
        self.norm2 = LayerNorm2d(out_channels)
        self.squeeze_excitation = SqueezeExcitation(out_channels, in_channels // 4)
        self.conv3 = nn.Conv2d(out_channels, out_channels, kernel_size=1, bias=False)
        self.norm3 = LayerNorm2d(out_channels)
        self.shortcut = (
            nn.Sequential(nn.Conv2d(in_channels, out_channels, kernel_size=1, bias=False), LayerNorm2d(out_channels))
            if in_channels != out_channels
            else nn.Identity()
        )

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        residual = self.shortcut(hidden_states)
        hidden_states = F.silu(self.norm1(self.conv1(hidden_states)))
        hidden_states = F.silu(self.norm2(self.conv2(hidden_states)))
        hidden_states = self.squeeze_excitation(hidden_states)
        return F.silu(self.norm3(self.conv3(hidden_states)) + residual)


class CAbstractor(nn.Module):
    """
    Three RegNet blocks, an adaptive average pool to sqrt(Q) x sqrt(Q), three more blocks, a two-layer MLP.

    Args:
        config ([`SafeLlavaConfig`]):
            Gives the sizes of both backbones, the inner width and Q, the number of visual tokens.
    """

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        in_features, out_features = _backbone_widths(config)
        hidden_size = config.safety_projector_hidden_size
        self.pooled_size = math.isqrt(config.num_safety_visual_tokens)
        self.dropout = nn.Dropout(config.safety_feature_dropout)
        widths = [in_features, hidden_size, hidden_size]
        self.blocks_before = nn.Sequential(*(RegNetBottleneck(width, hidden_size) for width in widths))
        self.blocks_after = nn.Sequential(*(RegNetBottleneck(hidden_size, hidden_size) for _ in range(3)))
        self.mlp = nn.Sequential(
            nn.Linear(hidden_size, out_features), nn.SiLU(), nn.Linear(out_features, out_features)
        )

    def forward(self, patch_features: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """
        Args:
            patch_features (`torch.Tensor` of shape `(num_images, height * width, vision_hidden_size)`):
                The vision tower's features without the CLS token.
            grid (`tuple[int, int]`):
                Patches per column and per row, `(height, width)`.

        Returns:
            `torch.Tensor` of shape `(num_images, num_safety_visual_tokens, hidden_size)`.
        """
        hidden_states = self.dropout(patch_features).transpose(1, 2).unflatten(2, grid)
        hidden_states = self.blocks_before(hidden_states)
        hidden_states = F.adaptive_avg_pool2d(hidden_states, self.pooled_size)
        hidden_states = self.blocks_after(hidden_states)
        return self.mlp(hidden_states.flatten(2).transpose(1, 2))

    def token_grid(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Visual tokens per column and per row of an image with this many patches."""
        return self.pooled_size, self.pooled_size


class PatchMLP(nn.Module):
    """The ablation without an abstractor: a two-layer MLP on every patch. Takes what [`CAbstractor`] takes."""

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        in_features, out_features = _backbone_widths(config)
        self.dropout = nn.Dropout(config.safety_feature_dropout)
        self.mlp = nn.Sequential(
            nn.Linear(in_features, out_features), nn.SiLU(), nn.Linear(out_features, out_features)
        )

    def forward(self, patch_features: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """Returns a `torch.Tensor` of shape `(num_images, height * width, hidden_size)`."""
        return self.mlp(self.dropout(patch_features))

    def token_grid(self, grid: tuple[int, int]) -> tuple[int, int]:
        """Visual tokens per column and per row of an image with this many patches: one for each."""
        return grid


def _backbone_widths(config: PreTrainedConfig) -> tuple[int, int]:
    return config.vision_config.hidden_size * len(find_vision_layers(config)), config.text_config.hidden_size


SAFETY_PROJECTORS: dict[str, type[CAbstractor] | type[PatchMLP]] = {"c_abstractor": CAbstractor, "mlp": PatchMLP}
