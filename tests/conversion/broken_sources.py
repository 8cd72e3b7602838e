"""Ways to break the folder of a stock LLaVA, each with what an error must name."""

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file


Break = Callable[[Path], object]
CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
TEMPLATE = "chat_template.jinja"


def write(name: str, content: str | bytes) -> Break:
    return lambda folder: (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def cut(name: str) -> Break:
    return lambda folder: os.truncate(folder / name, (folder / name).stat().st_size // 2)


def remove(name: str) -> Break:
    return lambda folder: (folder / name).unlink()


def swap(name: str, make: Callable[[Path], object]) -> Break:
    """Puts something else at the place of a file."""

    def change(folder: Path) -> None:
        (folder / name).unlink()
        make(folder / name)

    return change


def edit(name: str, *path: str, value: Any) -> Break:
    """Sets one field of a JSON file."""

    def change(folder: Path) -> None:
        values = part = json.loads((folder / name).read_text())
        for step in path[:-1]:
            part = part[step]
        part[path[-1]] = value
        (folder / name).write_text(json.dumps(values))

    return change


def repeat_key(name: str, key: str) -> Break:
    return lambda folder: (folder / name).write_text(
        (folder / name).read_text().replace("{", f'{{"{key}": 1, "{key}": 2, ', 1)
    )


def reweigh(change: Callable[[dict[str, torch.Tensor]], object]) -> Break:
    def rewrite(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        change(weights)
        save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})

    return rewrite


def set_weight(key: str, value: torch.Tensor) -> Break:
    return reweigh(lambda weights: weights.update({key: value}))


def index_as(name: Any) -> Break:
    """One shard, that the index calls by `name`."""

    def change(folder: Path) -> None:
        keys = load_file(folder / WEIGHTS).keys()
        (folder / WEIGHTS).rename(folder.parent / "elsewhere.safetensors")
        (folder / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(keys, name)}))

    return change


def shard(change: Callable[[dict[str, str], dict[str, torch.Tensor]], object]) -> Break:
    """One shard with an index, after a change to the map and to the weights."""

    def rewrite(folder: Path) -> None:
        weights = load_file(folder / WEIGHTS)
        weight_map = dict.fromkeys(weights, "a.safetensors")
        change(weight_map, weights)
        (folder / WEIGHTS).unlink()
        save_file(weights, folder / "a.safetensors", metadata={"format": "pt"})
        (folder / INDEX).write_text(json.dumps({"weight_map": weight_map}))

    return rewrite


def header(length: int, content: bytes = b"{}") -> Break:
    return write(WEIGHTS, struct.pack("<Q", length) + content)


DEEP = "[" * 100_000 + "]" * 100_000
LOOP = ("symlink loop", lambda path: path.symlink_to(path.name))
PROCESSOR, TOKENIZER, TOKENIZER_CONFIG = "processor_config.json", "tokenizer.json", "tokenizer_config.json"

BROKEN: dict[str, tuple[Break, str]] = {
    # config.json
    "no config": (remove(CONFIG), CONFIG),
    "empty config": (write(CONFIG, ""), CONFIG),
    "cut config": (cut(CONFIG), CONFIG),
    "binary config": (write(CONFIG, b"\xff\xfe\x00garbage"), CONFIG),
    "list config": (write(CONFIG, "[]"), CONFIG),
    "number config": (write(CONFIG, "3"), CONFIG),
    "deep config": (write(CONFIG, f'{{"model_type": {DEEP}}}'), CONFIG),
    "deep nested objects": (write(CONFIG, '{"a":' * 50_000 + "1" + "}" * 50_000), CONFIG),
    "huge number in config": (write(CONFIG, f'{{"model_type": {"9" * 5000}}}'), CONFIG),
    "config is a folder": (swap(CONFIG, Path.mkdir), CONFIG),
    "config is a link to itself": (swap(CONFIG, LOOP[1]), CONFIG),
    "config is a pipe": (swap(CONFIG, os.mkfifo), CONFIG),
    "repeated key in config": (repeat_key(CONFIG, "model_type"), CONFIG),
    "no model type": (edit(CONFIG, "model_type", value=None), "model_type"),
    "other model type": (edit(CONFIG, "model_type", value="llava_next_video"), "llava_next_video"),
    "model type is a list": (edit(CONFIG, "model_type", value=["llava"]), "model_type"),
    "text config is null": (edit(CONFIG, "text_config", value=None), "text_config"),
    "text config is a text": (edit(CONFIG, "text_config", value="llama"), "text_config"),
    "vision config is a list": (edit(CONFIG, "vision_config", value=[]), "vision_config"),
    "unknown text model": (edit(CONFIG, "text_config", "model_type", value="nonsense"), CONFIG),
    "unknown tower": (edit(CONFIG, "vision_config", "model_type", value="nonsense"), CONFIG),
    "text model that reads no text": (edit(CONFIG, "text_config", "model_type", value="resnet"), CONFIG),
    "width is a text": (edit(CONFIG, "text_config", "hidden_size", value="wide"), CONFIG),
    "width is a fraction": (edit(CONFIG, "text_config", "hidden_size", value=32.5), CONFIG),
    "width 0": (edit(CONFIG, "text_config", "hidden_size", value=0), CONFIG),
    "negative width": (edit(CONFIG, "text_config", "hidden_size", value=-32), CONFIG),
    "enormous width": (edit(CONFIG, "text_config", "hidden_size", value=2**40), CONFIG),
    "overflowing width": (edit(CONFIG, "text_config", "hidden_size", value=2**62), CONFIG),
    "enormous vocabulary": (edit(CONFIG, "text_config", "vocab_size", value=2**40), CONFIG),
    "enormous number of layers": (edit(CONFIG, "text_config", "num_hidden_layers", value=10**9), "num_hidden_layers"),
    "enormous tower": (edit(CONFIG, "vision_config", "num_hidden_layers", value=10**9), "num_hidden_layers"),
    "no heads": (edit(CONFIG, "text_config", "num_attention_heads", value=0), CONFIG),
    "enormous number of heads": (edit(CONFIG, "text_config", "num_attention_heads", value=2**40), CONFIG),
    "enormous images": (edit(CONFIG, "vision_config", "image_size", value=2**40), CONFIG),
    "patches of no size": (edit(CONFIG, "vision_config", "patch_size", value=0), "patch_size"),
    "patches above the image": (edit(CONFIG, "vision_config", "patch_size", value=31), "patch_size"),
    "layer that the tower lacks": (edit(CONFIG, "vision_feature_layer", value=-99), CONFIG),
    "layer that is a text": (edit(CONFIG, "vision_feature_layer", value="last"), CONFIG),
    "unknown selection": (edit(CONFIG, "vision_feature_select_strategy", value="some"), CONFIG),
    "unknown activation": (edit(CONFIG, "projector_hidden_act", value="nonsense"), CONFIG),
    "unknown dtype": (edit(CONFIG, "dtype", value="float7"), CONFIG),
    "quantized": (edit(CONFIG, "quantization_config", value={"quant_method": "x"}), CONFIG),
    "quantized text model": (edit(CONFIG, "text_config", "quantization_config", value={}), CONFIG),
    "a policy in a stock config": (edit(CONFIG, "safety_policy", value={}), "safety_policy"),
    "another image token": (edit(CONFIG, "image_token_index", value=7), "image_token_id"),
    "image token beyond the embeddings": (edit(CONFIG, "image_token_index", value=10**6), "image_token_id"),
    # weights
    "no weights": (remove(WEIGHTS), WEIGHTS),
    "only pickled weights": (lambda folder: (folder / WEIGHTS).rename(folder / "pytorch_model.bin"), WEIGHTS),
    "empty weights": (write(WEIGHTS, ""), WEIGHTS),
    "cut weights": (cut(WEIGHTS), WEIGHTS),
    "garbage weights": (write(WEIGHTS, os.urandom(4096)), WEIGHTS),
    "a header of 2 ** 63 bytes": (header(2**63), WEIGHTS),
    "a header of 2 ** 64 - 1 bytes": (header(2**64 - 1), WEIGHTS),
    "a header of a terabyte": (header(10**12), WEIGHTS),
    "a header that is no JSON": (header(4, b"nope"), WEIGHTS),
    "a header without tensors": (header(2), WEIGHTS),
    "weights are a folder": (swap(WEIGHTS, Path.mkdir), WEIGHTS),
    "weights are a pipe": (swap(WEIGHTS, os.mkfifo), WEIGHTS),
    "weights are a link to nowhere": (swap(WEIGHTS, lambda path: path.symlink_to("gone")), WEIGHTS),
    "a missing tensor": (reweigh(lambda weights: weights.pop("language_model.lm_head.weight")), "lm_head"),
    "an unknown tensor": (set_weight("odd", torch.ones(1)), "odd"),
    "a tensor of another shape": (set_weight("language_model.lm_head.weight", torch.ones(7, 7)), "lm_head"),
    "a tensor of integers": (
        reweigh(lambda weights: weights.update({"language_model.lm_head.weight": torch.ones(7, dtype=torch.int8)})),
        "int8",
    ),
    "two forms of weights": (lambda folder: (folder / INDEX).write_text('{"weight_map": {}}'), INDEX),
    # index
    "an index out of the folder": (index_as("../elsewhere.safetensors"), "elsewhere"),
    "an absolute index": (index_as("/etc/elsewhere.safetensors"), "elsewhere"),
    "an index with backslashes": (index_as("..\\elsewhere.safetensors"), "elsewhere"),
    "an index into a subfolder": (index_as("sub/elsewhere.safetensors"), "elsewhere"),
    "an index with a null byte": (index_as("a\0.safetensors"), INDEX),
    "an index to a pickle": (index_as("pytorch_model.bin"), "pytorch_model.bin"),
    "an index with numbers": (index_as(3), INDEX),
    "an index with nothing": (index_as(None), INDEX),
    "an index to a shard that is not there": (index_as("a.safetensors"), "a.safetensors"),
    "an index without map": (shard(lambda places, weights: places.clear()), INDEX),
    "an index that names more": (shard(lambda places, weights: places.update(odd="a.safetensors")), "odd"),
    "a shard that holds more": (shard(lambda places, weights: weights.update(odd=torch.ones(1))), "odd"),
    "an index that is a list": (
        lambda folder: (remove(WEIGHTS)(folder), write(INDEX, "[]")(folder)),
        INDEX,
    ),
    # processor
    "no processor": (remove(PROCESSOR), "processor"),
    "cut processor": (cut(PROCESSOR), PROCESSOR),
    "processor is a list": (write(PROCESSOR, "[1]"), PROCESSOR),
    "processor of another class": (edit(PROCESSOR, "processor_class", value="CLIPProcessor"), "LLaVA processor"),
    "processor of an unknown class": (edit(PROCESSOR, "processor_class", value="Nonsense"), "processor"),
    "image processor is a text": (edit(PROCESSOR, "image_processor", value="clip"), PROCESSOR),
    "image processor of an unknown class": (
        edit(PROCESSOR, "image_processor", "image_processor_type", value="Nonsense"),
        PROCESSOR,
    ),
    "images of another size": (
        edit(PROCESSOR, "image_processor", "crop_size", value={"height": 24, "width": 24}),
        "crop_size",
    ),
    "images of an enormous size": (
        edit(PROCESSOR, "image_processor", "size", value={"shortest_edge": 10**9}),
        "shortest_edge",
    ),
    "images that keep their size": (
        edit(PROCESSOR, "image_processor", "do_center_crop", value=False),
        "image processor",
    ),
    "a mean of two channels": (edit(PROCESSOR, "image_processor", "image_mean", value=[0.5, 0.5]), PROCESSOR),
    "another image token in the tokenizer": (edit(TOKENIZER_CONFIG, "image_token", value="<pad>"), "image token"),
    # tokenizer
    "no tokenizer": (
        lambda folder: (remove(TOKENIZER)(folder), remove(TOKENIZER_CONFIG)(folder)),
        "tokenizer",
    ),
    "cut tokenizer": (cut(TOKENIZER), TOKENIZER),
    "empty tokenizer": (write(TOKENIZER, ""), TOKENIZER),
    "tokenizer without a model": (edit(TOKENIZER, "model", value=None), TOKENIZER),
    "tokenizer of an unknown kind": (edit(TOKENIZER, "model", "type", value="Nonsense"), TOKENIZER),
    "cut tokenizer config": (cut(TOKENIZER_CONFIG), TOKENIZER_CONFIG),
    "tokenizer config is a list": (write(TOKENIZER_CONFIG, "[]"), TOKENIZER_CONFIG),
    "tokenizer without an end token": (edit(TOKENIZER_CONFIG, "eos_token", value=None), "eos_token"),
    # chat template
    "no chat template": (remove(TEMPLATE), "--chat-template FILE"),
    "a template with a syntax error": (write(TEMPLATE, "{% for message in messages %}"), "--chat-template FILE"),
    "a template that refuses": (write(TEMPLATE, "{{ raise_exception('no') }}"), "--chat-template FILE"),
    "a template that drops images": (
        write(TEMPLATE, "{% for m in messages %}{{ m.content[-1].text }}{% endfor %}"),
        "--chat-template FILE",
    ),
    "a template that drops texts": (
        write(TEMPLATE, "{% for m in messages %}{{ m.role }}<image>{% endfor %}"),
        "--chat-template FILE",
    ),
    "a template that is binary": (write(TEMPLATE, b"\xff\xfe\x00"), TEMPLATE),
    # the rest
    "cut generation config": (cut("generation_config.json"), "generation_config.json"),
    "generation config that contradicts itself": (
        write("generation_config.json", '{"do_sample": false, "temperature": 0.5}'),
        "generation_config.json",
    ),
    "generation config that generates nothing": (
        edit("generation_config.json", "max_new_tokens", value=-1),
        "generation_config.json",
    ),
    "an adapter": (write("adapter_config.json", "{}"), "adapter_config.json"),
}
