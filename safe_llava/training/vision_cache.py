"""Features of a frozen vision tower on disk, so that it sees each image once in a training run of many epochs."""

import functools
import hashlib
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from torch.distributed.fsdp import FSDPModule
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ..files import atomic_path
from ..models.evaluation_mode import evaluating
from ..models.safety_known_answers import draw_patterns
from ..models.safety_trust import TOLERANCE
from ..models.vision_features import find_vision_layers


KNOWN_ANSWERS = "known_answers"


def cache_vision_features(model: PreTrainedModel, folder: str | Path) -> None:
    """
    Lets the vision tower keep what it made of each image, and read it where it meets the image again.

    A file an image, `FOLDER/<tower>/<image>.safetensors`, whole or not there, so that processes may share the
    folder. `<tower>` is a digest of the tower's weights and configuration, the layers that are read and the precision;
    `<image>` one of the pixel values, which another image or another preprocessing changes. A file that cannot be
    read, or holds something else, is named in a warning and written anew. Old towers' folders are never removed. What
    is kept are features in evaluation mode.

    Args:
        model ([`SafeLlavaForConditionalGeneration`]):
            Changed in place; not its PEFT, DDP or FSDP wrapper. At 7B shapes an image takes 1.2 MB in bfloat16 and
            2.4 MB in float32.
        folder (`str` or `Path`): where the features go. Made where it is not there.

    Raises:
        ValueError:
            If the tower trains, so that its features change at every step. In the first forward pass, if the folder
            has features of two drawn patterns that the tower does not give: weights and configuration were the same
            and the code was another.
    """
    tower = model.model.vision_tower
    _check_frozen(tower)
    read = model.config.vision_feature_layer
    layers = sorted({*([read] if isinstance(read, int) else read), *find_vision_layers(model.config)})
    tower_digest = _digest_of_tower(tower)
    checked: set[str] = set()
    run_tower = functools.partial(type(tower).forward, tower)  # not an earlier cache's

    def forward(pixel_values: torch.Tensor, **kwargs: Any) -> BaseModelOutputWithPooling:
        _check_frozen(tower)
        if any(isinstance(module, FSDPModule) for module in tower.modules()):
            raise ValueError(
                "`vision_feature_cache`: FSDP shards the layers of the vision tower, so every process must run "
                "them at the same time. Take CLIPEncoderLayer out of `fsdp_transformer_layer_cls_to_wrap`."
            )
        device_type = pixel_values.device.type
        precision = torch.get_autocast_dtype(device_type) if torch.is_autocast_enabled(device_type) else tower.dtype
        key = hashlib.sha256(f"{tower_digest} {layers} {precision}".encode()).hexdigest()[:32]
        if key not in checked:
            patterns = draw_patterns(pixel_values.shape[1], list(pixel_values.shape[2:])).to(pixel_values)
            _check_answers(Path(folder), key, see(patterns, **kwargs))
            checked.add(key)
        names = [f"{key}/{_digest([pixels])}" for pixels in pixel_values.cpu()]
        read = {name: _read(Path(folder), name, len(layers)) for name in names}
        found = {name: features for name, features in read.items() if features is not None}
        missing = [name for name in read if name not in found]
        if missing:
            features = see(pixel_values[[names.index(name) for name in missing]], **kwargs)
            for name, of_image in zip(missing, features.cpu().unbind()):
                _write(Path(folder), name, of_image)
                found[name] = of_image
        stacked = torch.stack([found[name] for name in names], dim=1).to(pixel_values.device)
        return BaseModelOutputWithPooling(hidden_states=dict(zip(layers, stacked)))  # type: ignore[arg-type]

    def see(pixel_values: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        with evaluating(tower):
            hidden_states = run_tower(pixel_values, **kwargs).hidden_states
        return torch.stack([hidden_states[layer] for layer in layers], dim=1).detach()

    tower.forward = forward


def _check_frozen(tower: nn.Module) -> None:
    for name, parameter in tower.named_parameters():
        if parameter.requires_grad:
            raise ValueError(
                f"`vision_feature_cache` needs a frozen vision tower, for its features are computed once; `{name}` of "
                "the tower trains. Freeze it, or leave the cache off."
            )


def _check_answers(folder: Path, key: str, features: torch.Tensor) -> None:
    """Compares what a tower makes of drawn patterns with what was kept of them, and keeps it where nothing was."""
    name, answers = f"{key}/{KNOWN_ANSWERS}", features.transpose(0, 1).flatten(1, 2).cpu()
    kept = _read(folder, name, len(answers))
    if kept is None:
        _write(folder, name, answers)
        return
    known, now = kept.float(), answers.float()
    deviation = ((now - known).norm() / known.norm()).item() if known.shape == now.shape else float("inf")
    if not deviation <= TOLERANCE:
        raise ValueError(
            f"{folder / key} holds features that this vision tower does not give (they deviate by {deviation:.2g}, at "
            f"most {TOLERANCE}): other code made them. Delete that folder, or name another."
        )


def _digest(tensors: list[torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _digest_of_tower(tower: PreTrainedModel) -> str:
    weights = dict(sorted(tower.state_dict().items()))
    return f"{tower.config.to_json_string()} {list(weights)} {_digest(list(weights.values()))}"


def _read(folder: Path, name: str, num_layers: int) -> torch.Tensor | None:
    """Features of shape `(num_layers, sequence_length, vision_hidden_size)`; `None` where they must be computed."""
    path = folder / f"{name}.safetensors"
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            written_for = (file.metadata() or {}).get("image")
            features = file.get_tensor("features")
    except SafetensorError as error:
        warnings.warn(f"{path} cannot be read ({error}); it is written anew.", stacklevel=2)
        return None
    if written_for != name or features.dim() != 3 or len(features) != num_layers:
        warnings.warn(f"{path} holds something else than it should; it is written anew.", stacklevel=2)
        return None
    return features


def _write(folder: Path, name: str, features: torch.Tensor) -> None:
    with atomic_path(folder / f"{name}.safetensors") as partial:
        save_file({"features": features.contiguous()}, partial, metadata={"image": name})
