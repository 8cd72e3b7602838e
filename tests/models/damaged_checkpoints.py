"""
Damages of a checkpoint, each by a seed, for which verdicts must be refused or not trusted.

    python tests/models/damaged_checkpoints.py CHECKPOINT OUTPUT

writes one damaged copy of a SafeLLaVA for each, in `OUTPUT/<kind>-<number>`.
"""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file


WEIGHTS = "model.safetensors"
PARTS = ("safety_modules.head.", "safety_modules.projector.", "vision_tower.", "embed_tokens.")

Tensors = dict[str, torch.Tensor]


def on_parts(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path, int], None]:
    """Changes every tensor of a part of the model."""

    def damage(folder: Path, number: int) -> None:
        tensors = load_file(folder / WEIGHTS)
        for name in tensors:
            if PARTS[number % len(PARTS)] in name:
                tensors[name] = change(tensors[name])
        save(tensors, folder)

    return damage


def on_one_tensor(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Path, int], None]:
    """Changes one tensor that verdicts rest on."""

    def damage(folder: Path, number: int) -> None:
        tensors = load_file(folder / WEIGHTS)
        name = choose(tensors, number)
        tensors[name] = change(tensors[name])
        save(tensors, folder)

    return damage


def on_config(*keys: str, to: Any) -> Callable[[Path, int], None]:
    return on_json("config.json", *keys, to=to)


def on_json(file: str, *keys: str, to: Any) -> Callable[[Path, int], None]:
    """Sets a value of a JSON file, by the path of its keys."""

    def damage(folder: Path, number: int) -> None:
        path = folder / file
        values = place = json.loads(path.read_text())
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = to(place[keys[-1]]) if callable(to) else to
        path.write_text(json.dumps(values))

    return damage


def on_bytes(change: Callable[[bytearray, int, int], bytearray]) -> Callable[[Path, int], None]:
    """Changes the weights' file: its bytes, where the tensors begin, and the number of the damage."""

    def damage(folder: Path, number: int) -> None:
        content = bytearray((folder / WEIGHTS).read_bytes())
        start = 8 + int.from_bytes(content[:8], "little")
        (folder / WEIGHTS).write_bytes(change(content, start, number))

    return damage


def choose(tensors: Tensors, number: int) -> str:
    """A tensor of at least two different entries that verdicts rest on."""
    names = [
        name
        for name in sorted(tensors)
        if any(part in name for part in PARTS) and tensors[name].unique().numel() > 1 and "post_layernorm" not in name
    ]
    return names[(number * 37 + 11) % len(names)]


def save(tensors: Tensors, folder: Path) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def shuffle(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.flatten()[torch.randperm(tensor.numel())].view_as(tensor)


def zero_half(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    tensor.view(-1)[: tensor.numel() // 2 + 1] = 0.0
    return tensor


def flip_one_exponent(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.clone()
    index = int(tensor.abs().argmax())
    tensor.view(-1)[index] *= 2.0**20
    return tensor


def swap_layers(folder: Path, number: int) -> None:
    tensors = load_file(folder / WEIGHTS)
    first, second = (".layers.0.", ".layers.1.") if number % 2 else ("blocks_before.1.", "blocks_after.1.")
    for name in [name for name in tensors if first in name and "language_model" not in name]:
        other = name.replace(first, second)
        tensors[name], tensors[other] = tensors[other], tensors[name]
    save(tensors, folder)


def drop_tensors(folder: Path, number: int) -> None:
    tensors = load_file(folder / WEIGHTS)
    save({name: tensor for name, tensor in tensors.items() if PARTS[number % len(PARTS)] not in name}, folder)


def drop_one_tensor(folder: Path, number: int) -> None:
    tensors = load_file(folder / WEIGHTS)
    del tensors[choose(tensors, number)]
    save(tensors, folder)


def empty_page(content: bytearray, start: int, number: int) -> bytearray:
    header = json.loads(content[8:start])
    begin, end = next(
        place["data_offsets"]
        for name, place in header.items()
        if PARTS[number % len(PARTS)] in name and place["data_offsets"][1] - place["data_offsets"][0] > 512
    )
    middle = start + (begin + end) // 2
    content[middle - 128 : middle + 128] = bytes(256)
    return content


def fill_with_zeros(content: bytearray, start: int, number: int) -> bytearray:
    return content[:start] + bytes(len(content) - start)


def alter_text(text: str) -> str:
    middle = len(text) // 2
    return text[:middle] + ("A" if text[middle] != "A" else "B") * 8 + text[middle + 8 :]


DAMAGES: dict[str, tuple[int, Callable[[Path, int], None]]] = {
    "part_zeroed": (4, on_parts(torch.zeros_like)),
    "part_nearly_zeroed": (4, on_parts(lambda tensor: tensor * 1e-6)),
    "part_shuffled": (4, on_parts(shuffle)),
    "part_drawn_anew": (4, on_parts(lambda tensor: torch.randn_like(tensor) * 0.05)),
    "part_constant": (4, on_parts(lambda tensor: torch.full_like(tensor, 0.1))),
    "part_negated": (4, on_parts(torch.neg)),
    "part_with_noise": (4, on_parts(lambda tensor: tensor + 0.02 * torch.randn_like(tensor))),
    "part_missing": (4, drop_tensors),
    "tensor_zeroed": (6, on_one_tensor(torch.zeros_like)),
    "tensor_shuffled": (6, on_one_tensor(shuffle)),
    "tensor_doubled": (4, on_one_tensor(lambda tensor: tensor * 2)),
    "tensor_half_zeroed": (4, on_one_tensor(zero_half)),
    "tensor_nan": (4, on_one_tensor(lambda tensor: torch.full_like(tensor, torch.nan))),
    "tensor_infinite": (2, on_one_tensor(lambda tensor: torch.full_like(tensor, torch.inf))),
    "tensor_with_a_flipped_bit": (4, on_one_tensor(flip_one_exponent)),
    "tensor_missing": (4, drop_one_tensor),
    "tensor_of_another_shape": (3, on_one_tensor(lambda tensor: tensor.repeat(2, *[1] * (tensor.ndim - 1)))),
    "layers_swapped": (2, swap_layers),
    "file_zero_filled_behind_its_header": (1, on_bytes(fill_with_zeros)),
    "file_with_an_empty_page": (4, on_bytes(empty_page)),
    "file_cut_off": (3, on_bytes(lambda content, start, number: content[: len(content) * (number + 1) // 4])),
    "file_with_a_broken_header": (2, on_bytes(lambda content, start, number: content[:8] + b"{" + content[10:])),
    "file_empty": (1, on_bytes(lambda content, start, number: bytearray())),
    "no_record_of_a_training": (1, on_config("safety_training", to=None)),
    "record_of_the_wrong_kind": (2, on_config("safety_training", to=True)),
    "record_without_digests": (1, on_config("safety_training", "digests", to=[])),
    "record_with_other_digests": (1, on_config("safety_training", "digests", to=["0" * 64])),
    "record_with_other_answers": (1, on_config("safety_training", "answers", "level_logits", to=alter_text)),
    "record_with_broken_answers": (1, on_config("safety_training", "answers", "features", to="not base64")),
    "record_without_answers": (1, on_config("safety_training", "answers", to={})),
    "another_layer_read": (1, on_config("safety_feature_layer", to=-3)),
    "another_number_of_heads": (1, on_config("safety_head_num_attention_heads", to=2)),
    "another_pooling": (1, on_config("safety_head_pooling", to="first")),
    "another_activation": (1, on_config("vision_config", "hidden_act", to="tanh")),
    "a_temperature_that_flattens": (2, on_config("safety_policy", "temperature", "level", to=1e40)),
    "another_normalisation": (1, on_json("processor_config.json", "image_processor", "image_mean", to=[0, 0, 0])),
    "no_normalisation": (1, on_json("processor_config.json", "image_processor", "do_normalize", to=False)),
    "no_rescaling": (1, on_json("processor_config.json", "image_processor", "do_rescale", to=False)),
    "another_size": (1, on_json("processor_config.json", "image_processor", "size", to={"shortest_edge": 60})),
}


def damage(kind: str, number: int, checkpoint: Path, folder: Path) -> None:
    """Writes a damaged copy of a checkpoint into a new folder."""
    shutil.copytree(checkpoint, folder)
    torch.manual_seed(number)
    DAMAGES[kind][1](folder, number)


CASES = [(kind, number) for kind, (count, _) in DAMAGES.items() for number in range(count)]


if __name__ == "__main__":
    for kind, number in CASES:
        damage(kind, number, Path(sys.argv[1]), Path(sys.argv[2]) / f"{kind}-{number}")
