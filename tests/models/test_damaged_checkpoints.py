"""Of a damaged checkpoint no verdict is trusted, and an honest variant of it loses nothing."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from damaged_checkpoints import CASES, DAMAGES, damage
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from torch import nn
from transformers import pipeline

from safe_llava import SafeLlavaForConditionalGeneration, SafeLlavaForSafetyClassification
from safe_llava.checkpoints import load_safe_llava
from safe_llava.models.image_processor_check import describe_image_processor
from safe_llava.models.safety_trust import record_training
from safe_llava.training import LANGUAGE_MODEL_LINEAR_LAYERS


@pytest.fixture(scope="module")
def trained(tiny_safe_llava, tiny_processor) -> SafeLlavaForConditionalGeneration:
    """A model with a record of its training, of which no weight has the value that it would be initialised with."""
    model = copy.deepcopy(tiny_safe_llava)
    torch.manual_seed(2)
    with torch.no_grad():
        for part in (model.model.vision_tower, model.model.safety_modules):
            for weight in part.parameters():
                weight += 0.02 * torch.randn_like(weight)
    record_training(model, image_processor=describe_image_processor(tiny_processor))
    return model


@pytest.fixture(scope="module")
def checkpoint(trained, tiny_processor, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    trained.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


def test_there_are_more_than_a_hundred_damages_of_more_than_twenty_kinds():
    assert len(DAMAGES) > 20
    assert len(CASES) >= 100


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "number"), CASES)
def test_a_damaged_checkpoint_is_refused_or_not_trusted(kind, number, checkpoint, inputs, tmp_path):
    damage(kind, number, checkpoint, tmp_path / "damaged")
    load = (load_whole, load_guard)[CASES.index((kind, number)) % 2]
    try:
        is_trusted = bool(load(tmp_path / "damaged").assess(**inputs).trusted.any())
    except Exception as error:
        assert str(error)
        is_trusted = False
    assert not is_trusted


@pytest.mark.parametrize("kind", ["part_drawn_anew", "tensor_missing", "no_record_of_a_training"])
def test_saving_and_reloading_does_not_make_a_damaged_one_trusted(kind, checkpoint, inputs, tmp_path):
    damage(kind, 0, checkpoint, tmp_path / "damaged")
    SafeLlavaForConditionalGeneration.from_pretrained(tmp_path / "damaged").save_pretrained(tmp_path / "again")
    assert not SafeLlavaForConditionalGeneration.from_pretrained(tmp_path / "again").assess(**inputs).trusted.any()


def load_whole(folder: Path) -> Any:
    return load_safe_llava(folder, device="cpu")[0]


def load_guard(folder: Path) -> Any:
    return pipeline("safety-classification", model=str(folder), device="cpu").model


class Int8Linear(nn.Module):
    """Eight-bit weights with a scale a row, as quantisation libraries keep them."""

    def __init__(self, layer: nn.Linear):
        super().__init__()
        scale = layer.weight.detach().abs().amax(dim=1, keepdim=True).clamp(min=1e-12) / 127
        self.register_buffer("weight", (layer.weight.detach() / scale).round().to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = layer.bias

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return nn.functional.linear(states, self.weight * self.scale, self.bias)


def quantize(model: Any) -> Any:
    for module in list(model.modules()):
        for name, layer in module.named_children():
            if isinstance(layer, nn.Linear):
                setattr(module, name, Int8Linear(layer))
    return model


def add_lora(model: Any) -> Any:
    return get_peft_model(model, LoraConfig(target_modules=LANGUAGE_MODEL_LINEAR_LAYERS, init_lora_weights=False))


def resize(model: Any, number: int) -> Any:
    model.resize_token_embeddings(model.get_input_embeddings().weight.shape[0] + number)
    return model


def train_language_model(model: Any) -> Any:
    with torch.no_grad():
        for weight in (*model.model.language_model.layers.parameters(), model.lm_head.weight):
            weight += 0.1
        model.model.multi_modal_projector.linear_1.weight += 0.1
        model.model.safety_modules.tokens.prompt_tokens += 0.1
    return model


def save_again(folder: Path, model: Any, **options: Any) -> Path:
    model.save_pretrained(folder, **options)
    return folder


def use_older_keys(folder: Path) -> Path:
    older = {}
    for name, tensor in read(folder).state_dict().items():
        name = name.removeprefix("model.").replace("language_model.", "language_model.model.")
        older[name.replace("lm_head", "language_model.lm_head")] = tensor
    save_file(older, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


def read(folder: Path, **options: Any) -> Any:
    return SafeLlavaForConditionalGeneration.from_pretrained(folder, **options).eval()


def read_guard(folder: Path, **options: Any) -> Any:
    return SafeLlavaForSafetyClassification.from_pretrained(folder, **options).eval()


# What is done with the folder of a checkpoint and a new one, and gives a model.
HONEST: dict[str, Callable[[Path, Path], Any]] = {
    "as it is": lambda folder, new: read(folder),
    "its guard": lambda folder, new: read_guard(folder),
    "cast to float16": lambda folder, new: read(folder).half(),
    "cast to bfloat16": lambda folder, new: read(folder).bfloat16(),
    "cast to float64": lambda folder, new: read(folder).double(),
    "read in float16": lambda folder, new: read(folder, dtype=torch.float16),
    "a guard read in bfloat16": lambda folder, new: read_guard(folder, dtype=torch.bfloat16),
    "saved in float16": lambda folder, new: read(save_again(new, read(folder).half())),
    "saved in bfloat16, read in float32": lambda folder, new: read(
        save_again(new, read(folder).bfloat16()), dtype=torch.float32
    ),
    "saved in float16, read in bfloat16": lambda folder, new: read(
        save_again(new, read(folder).half()), dtype=torch.bfloat16
    ),
    "saved in bfloat16, read in float16": lambda folder, new: read(
        save_again(new, read(folder).bfloat16()), dtype=torch.float16
    ),
    "in 8 bits": lambda folder, new: quantize(read(folder)),
    "a guard in 8 bits": lambda folder, new: quantize(read_guard(folder)),
    "sharded": lambda folder, new: read(save_again(new, read(folder), max_shard_size="50KB")),
    "saved as a guard": lambda folder, new: read_guard(save_again(new, read_guard(folder))),
    "with more tokens": lambda folder, new: resize(read(folder), 9),
    "saved with more tokens": lambda folder, new: read(save_again(new, resize(read(folder), 64))),
    "with LoRA on the language model": lambda folder, new: add_lora(read(folder)).get_base_model(),
    "with LoRA merged and saved": lambda folder, new: read(save_again(new, add_lora(read(folder)).merge_and_unload())),
    "with a trained language model": lambda folder, new: train_language_model(read(folder)),
    "in an older key layout": lambda folder, new: read(use_older_keys(shutil.copytree(folder, new))),
    "with another attention": lambda folder, new: read(folder, attn_implementation="eager"),
    "copied": lambda folder, new: copy.deepcopy(read(folder)),
}


@pytest.mark.parametrize("variant", HONEST)
def test_an_honest_variant_is_trusted(variant, checkpoint, inputs, tmp_path):
    model = HONEST[variant](checkpoint, tmp_path / "new")
    assert model.explain_distrust() is None
    inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
    assert model.assess(**inputs).trusted.all()
