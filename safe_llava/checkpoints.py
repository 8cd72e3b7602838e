"""A checkpoint named, checked and loaded, on the device of this process."""

import os
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForImageClassification,
    AutoModelForImageTextToText,
    AutoProcessor,
    PreTrainedConfig,
)

from .files import fingerprint
from .models.modeling_safety_base import SafetyCausalLMMixin
from .models.modeling_safety_guard import SafetyClassificationMixin
from .models.onnx_folder import is_exported
from .models.processing_safety import SafetyProcessorMixin
from .models.safety_configuration import SAFE_MODEL_TYPES, SafetyConfigMixin


UNREAD_FILES = frozenset({"README.md", "attacks.json", "evaluation.json"})
"""Files of a checkpoint that no model reads; the card is written after an evaluation or attacks."""


def default_device() -> str:
    """The accelerator of this process, numbered by `LOCAL_RANK` under a launcher; the CPU where there is none."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is None:
        return "cpu"
    return f"{accelerator.type}:{int(os.environ.get('LOCAL_RANK', 0)) % torch.accelerator.device_count()}"


def identify_checkpoint(checkpoint: str | os.PathLike) -> dict[str, Any]:
    """
    What tells a checkpoint from another one, and from itself after it was trained on.

    Args:
        checkpoint (`str` or `os.PathLike`): a folder or a Hub id.

    Returns:
        `dict`: `model`, the absolute folder or the Hub id, and `model_files`, a hash of the folder's names, sizes and
        times or the Hub's commit.

    Raises:
        ValueError: if there is no such checkpoint.
    """
    folder = Path(checkpoint)
    name = str(folder.resolve()) if folder.is_dir() else str(checkpoint)
    config = read_any_config(name)
    return {
        "model": name,
        "model_files": fingerprint(folder, UNREAD_FILES) if folder.is_dir() else config._commit_hash,
    }


def read_any_config(checkpoint: str | os.PathLike) -> PreTrainedConfig:
    """
    The configuration of a model of any kind.

    Args:
        checkpoint (`str` or `os.PathLike`): a folder or a Hub id.

    Returns:
        [`~transformers.PreTrainedConfig`]

    Raises:
        ValueError: if there is no model.
    """
    if is_exported(checkpoint):
        raise ValueError(
            f"{checkpoint} is a guard that `safe-llava export` wrote: `serve`, `audit` and `calibrate` take it. "
            "Here, give the checkpoint that it was made of."
        )
    try:
        return AutoConfig.from_pretrained(checkpoint)
    except Exception as error:  # A broken config.json raises whatever meets it first.
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"{checkpoint} cannot be loaded as a model, neither as a folder nor as a Hub id: {reason} (config.json)"
        ) from error


def read_config(checkpoint: str | os.PathLike) -> SafetyConfigMixin:
    """
    The configuration of a SafeLLaVA.

    Args:
        checkpoint (`str` or `os.PathLike`): a folder or a Hub id.

    Returns:
        [`SafetyConfigMixin`]

    Raises:
        ValueError: if there is no model, or one that is no SafeLLaVA.
    """
    config = read_any_config(checkpoint)
    if config.model_type not in SAFE_MODEL_TYPES:
        raise ValueError(
            f"{checkpoint} is a {config.model_type!r}, not a 'safe_llava'. Make one of it with "
            f"`safe-llava convert {checkpoint} OUTPUT`, then train it."
        )
    return config


def load_guard(
    checkpoint: str | os.PathLike, device: str | None = None, dtype: str = "auto"
) -> tuple[SafetyClassificationMixin, SafetyProcessorMixin]:
    """
    What assesses and cannot answer, of the checkpoint of a guard or of a whole model; as [`load_safe_llava`].
    """
    read_config(checkpoint)
    device = require_device(device)
    guard = AutoModelForImageClassification.from_pretrained(checkpoint, dtype=dtype, device_map=device)
    processor = AutoProcessor.from_pretrained(checkpoint)
    guard.eval().check_ready(processor)
    return guard, processor


def load_safe_llava(
    checkpoint: str | os.PathLike, device: str | None = None, dtype: str = "auto"
) -> tuple[SafetyCausalLMMixin, SafetyProcessorMixin]:
    """
    A model in evaluation mode, and its processor.

    Args:
        checkpoint (`str` or `os.PathLike`): a folder or a Hub id.
        device (`str`, *optional*): such as `"cpu"` or `"cuda:0"`. Defaults to [`default_device`].
        dtype (`str`, *optional*, defaults to `"auto"`): `"auto"` keeps the checkpoint's.

    Raises:
        ValueError: if the checkpoint is no SafeLLaVA, if there is no such device, if its processor is not the one that
            it was trained with, or if its policy is not what its tokenizer makes of it.
    """
    read_config(checkpoint)
    device = require_device(device)
    model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=dtype, device_map=device)
    processor = AutoProcessor.from_pretrained(checkpoint)
    model.eval().check_ready(processor)
    return model, processor


def require_device(device: str | None) -> str:
    """
    The device to load a model on, tried before any weight is read.

    Args:
        device (`str`, *optional*): defaults to [`default_device`].

    Raises:
        ValueError: if there is no such device.
    """
    device = device or default_device()
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:  # Torch raises the one without CUDA, the other beyond it.
        raise ValueError(f"the device {device!r} cannot be used: {str(error).splitlines()[0]}") from error
    return device
