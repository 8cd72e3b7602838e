"""The LLaVA that a conversion starts from: its files, each read with errors that name it, and none outside."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from safetensors.torch import load_file
from torch import nn
from transformers import CONFIG_MAPPING, GenerationConfig
from transformers.utils import GENERATION_CONFIG_NAME, SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from .models.safety_configuration import SAFE_MODEL_TYPES, SafetyConfigMixin, check_model_type


# What a checkpoint is made of. Anything else in a Hub repository is not downloaded.
_CHECKPOINT_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.txt", "README.md"]
_FLOAT_DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
# Their keys are the texts of tokens, which a tokenizer may repeat.
_VOCABULARIES = ("tokenizer.json", "vocab.json")


@contextmanager
def blaming(culprit: object) -> Iterator[None]:
    """Turns whatever a library raises over a broken file into a `ValueError` of one line that names the file."""
    try:
        yield
    except Exception as error:
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{culprit}: {text[:500]} ({type(error).__name__})") from error


def fetch_source(source: str | os.PathLike, revision: str | None) -> Path:
    """
    The folder of the source, downloaded from the Hub if it is not one already, once its JSON files, chat template and
    generation config are known to be sound.

    Args:
        source (`str` or `os.PathLike`): a Hub id or a folder.
        revision (`str`, *optional*): branch, tag or commit of a Hub id.

    Raises:
        OSError: if there is no such folder, or one that cannot be read.
        ValueError: if one of them is broken, or the folder holds an adapter.
    """
    folder = _find_folder(source, revision)
    if (folder / "adapter_config.json").exists():
        raise ValueError(f"{folder} holds an adapter (adapter_config.json). Merge it into its base, and convert that.")
    for path in sorted(folder.glob("*.json")):
        if path.is_file():
            _read_json_object(path)
    for path in folder.glob("*.jinja"):
        with blaming(path):
            path.read_bytes().decode("utf-8")
    if (folder / GENERATION_CONFIG_NAME).is_file():
        with blaming(folder / GENERATION_CONFIG_NAME):
            GenerationConfig.from_pretrained(folder).validate(strict=True)
    return folder


def read_llava_config(folder: Path) -> dict[str, Any]:
    """
    The stock configuration as a dictionary, without its architectures.

    Args:
        folder (`Path`): a checkpoint.

    Raises:
        FileNotFoundError: if there is no config.json.
        ValueError: if it is not the configuration of a LLaVA.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} has no config.json, so it is no transformers checkpoint.")
    stored = _read_json_object(path)
    known = [model_type.removeprefix("safe_") for model_type in SAFE_MODEL_TYPES]
    if stored.get("model_type") not in known or "text_config" not in stored or "vision_config" not in stored:
        raise ValueError(
            f"{path} is not a LLaVA in transformers' format: `model_type` is {stored.get('model_type')!r}, and one of "
            f"{', '.join(known)} with a `text_config` and a `vision_config` was expected, as in "
            "llava-hf/llava-1.5-7b-hf."
        )
    parts = {name: stored[name] for name in ("text_config", "vision_config")}
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise ValueError(f"{path}: `{name}` must be an object, not {part!r:.100}.")
    if any("quantization_config" in part for part in (stored, *parts.values())):
        raise ValueError(
            f"{path} describes a quantized checkpoint. Convert the original one, then quantize the result."
        )
    if foreign := sorted((SafetyConfigMixin.__annotations__.keys() & stored.keys()) - {"model_type"}):
        raise ValueError(f"{path}: `{foreign[0]}` is a field of a SafeLLaVA, which a stock LLaVA does not have.")
    with blaming(path):
        for name, part in parts.items():
            check_model_type(name, part)
        config = CONFIG_MAPPING[stored["model_type"]].from_dict(stored)
        vision = config.vision_config
        for name in ("hidden_size", "image_size"):
            if not isinstance(value := getattr(vision, name, None), int) or value < 1:
                raise ValueError(f"`vision_config.{name}` is {value!r}, and a number above 0 was expected")
        patch_size = getattr(vision, "patch_size", None)
        if isinstance(patch_size, int) and not 1 <= patch_size <= vision.image_size:
            raise ValueError(f"`image_size` {vision.image_size} and `patch_size` {patch_size} give no patch")
        base = config.to_dict()
    # Without a dtype the weights are read in the one they are stored in, whatever the config says.
    return {key: value for key, value in base.items() if key not in ("architectures", "dtype")}


def map_weights(folder: Path) -> dict[str, torch.Tensor]:
    """
    All tensors of the checkpoint, mapped from disk: they take no memory before they are used.

    Args:
        folder (`Path`): a checkpoint.

    Raises:
        FileNotFoundError: if a weight file is not there.
        ValueError: if one is damaged, or if the index names anything but the files beside it and what they hold.
    """
    placed = _read_index(folder)
    weights: dict[str, torch.Tensor] = {}
    for name in [SAFE_WEIGHTS_NAME] if placed is None else sorted(set(placed.values())):
        path = folder / name
        if not path.is_file():
            raise FileNotFoundError(
                f"{folder} lacks the weight file {name}. Fetch the whole checkpoint as safetensors."
            )
        with blaming(f"{path} is cut off or damaged, or cannot be read; fetch it again"):
            mapped = load_file(path)
        indexed = mapped.keys() if placed is None else {key for key, place in placed.items() if place == name}
        if mapped.keys() != indexed:
            raise ValueError(
                f"{folder / SAFE_WEIGHTS_INDEX_NAME} and {name} do not agree where "
                f"{min(mapped.keys() ^ indexed)!r} is. Fetch the checkpoint again."
            )
        weights |= mapped
    if not weights:
        raise ValueError(f"{folder / SAFE_WEIGHTS_NAME} holds no weights. Fetch it again.")
    return weights


def check_dtypes(weights: dict[str, torch.Tensor], model: nn.Module, folder: Path) -> None:
    """
    Refuses weights that are no plain floating-point numbers, such as quantised ones.

    Args:
        weights (`dict[str, torch.Tensor]`): those of the checkpoint.
        model (`nn.Module`): what takes them. Its own integers, such as the counters of a batch norm, are none.
        folder (`Path`): the checkpoint.

    Raises:
        ValueError: if there is one.
    """
    own = {name.rpartition(".")[2]: buffer.dtype for name, buffer in model.named_buffers()}
    for key, weight in weights.items():
        if weight.dtype not in _FLOAT_DTYPES and weight.dtype != own.get(key.rpartition(".")[2]):
            raise ValueError(
                f"{folder}: the weight {key} has the dtype {weight.dtype}, and one of "
                f"{', '.join(map(str, _FLOAT_DTYPES))} was expected. Convert what it was quantized from."
            )


def check_layers(config: dict[str, Any], num_weights: int, folder: Path) -> None:
    """
    Refuses a configuration that asks for more layers than there are weights, before a module of them is made.

    Args:
        config (`dict`): a stock configuration.
        num_weights (`int`): how many tensors the checkpoint has.
        folder (`Path`): the checkpoint.

    Raises:
        ValueError: if a number of layers or experts is above `num_weights`.
    """
    for part in ("text_config", "vision_config"):
        for name, value in config[part].items():
            if ("layers" in name or "experts" in name) and isinstance(value, int) and value > num_weights:
                raise ValueError(
                    f"{folder / 'config.json'}: `{part}.{name}` is {value}, but the checkpoint has {num_weights} "
                    "weights in all."
                )


def _find_folder(source: str | os.PathLike, revision: str | None) -> Path:
    try:
        exists = bool(os.stat(source))
    except FileNotFoundError:
        exists = False
    if exists and os.path.isdir(source):
        os.listdir(source)  # A folder that may not be read says so here, and not as if it were empty.
        return Path(source)
    if exists or str(source).count("/") > 1 or str(source).startswith((".", "/", "~")):
        raise FileNotFoundError(f"`source` {source} is no folder. Name a folder or a Hub id such as `org/model`.")
    with blaming(f"`source` {source} is neither a folder nor a model on the Hub that can be fetched"):
        return Path(snapshot_download(str(source), revision=revision, allow_patterns=_CHECKPOINT_FILES))


def _read_json_object(path: Path) -> dict[str, Any]:
    def refuse_repeated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs) and path.name not in _VOCABULARIES:
            names = [name for name, _ in pairs]
            raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} stands there twice")
        return values

    with blaming(f"{path} is no sound JSON"):
        values = json.loads(path.read_bytes().decode("utf-8"), object_pairs_hook=refuse_repeated)
    if not isinstance(values, dict):
        raise ValueError(f"{path} must hold a JSON object, not {type(values).__name__}.")
    return values


def _read_index(folder: Path) -> dict[str, str] | None:
    """The file of each weight; `None` where all stand in one file."""
    path = folder / SAFE_WEIGHTS_INDEX_NAME
    if not path.is_file():
        return None
    if (folder / SAFE_WEIGHTS_NAME).exists():
        raise ValueError(f"{folder} holds both {SAFE_WEIGHTS_NAME} and {path.name}. Remove the one that is not meant.")
    placed = _read_json_object(path).get("weight_map")
    if not isinstance(placed, dict) or not placed:
        raise ValueError(f"{path} has no `weight_map` that names a file for each weight.")
    for key, name in placed.items():
        plain = isinstance(name, str) and name.endswith(".safetensors") and not {"/", "\\", "\0"} & set(name)
        if not plain:
            raise ValueError(
                f"{path}: `weight_map` puts {key!r} into {name!r:.200}, which is not the name of a safetensors file "
                "beside it."
            )
    return placed
