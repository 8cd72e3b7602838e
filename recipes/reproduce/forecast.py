"""What a reproduction will cost: disk, memory and hours of GPUs. Computed, not measured."""

from collections.abc import Collection
from functools import cache
from pathlib import Path

import torch
from transformers import PreTrainedModel

from recipes.benchmark.flop_counts import count, count_token
from recipes.benchmark.memory_plan import count_activations, count_parameters, make_model, share
from recipes.benchmark.shapes import base_config, safe_config

from .reproduction_config import Reproduction
from .training_recipes import recipe_of, stage_of


NUM_TEXT_TOKENS = 80
"""Of a row, beside those of its image; as in the plan of memory."""


def disk_bytes(whole: Reproduction, wanted: Collection[str]) -> dict[str, float]:
    """
    Bytes that steps write: models and, of each training, one checkpoint with Adam's two moments. Sets count where the
    file says how large they are.

    Args:
        whole ([`Reproduction`]): what is reproduced.
        wanted (`Collection[str]`): names of the steps that will run.
    """
    trained = {stage: 4 * _parameters(whole.shape, stage)["trained"] for stage in (1, 2)}
    width = 4 if recipe_of(whole, 1).get("dtype") == "float32" else 2
    model = width * _parameters(whole.shape, 1)["frozen"] + trained[1]
    # A base from the Hub lies in its cache too.
    sizes: dict[str, float] = {
        "convert": model * (1 if Path(whole.base).is_dir() else 2),
        "stage1": 2 * model + 2 * trained[1],
        "stage2": model + 4 * trained[2],
    }
    sizes |= {f"get-{name}": (found.gigabytes or 0) * 1e9 for name, found in whole.sets.items()}
    return {step: size for step, size in sizes.items() if step in wanted}


def gpu_hours(whole: Reproduction, number: int) -> float:
    """
    Hours of one GPU that a stage takes at `assumed_tflops`.

    A row costs a pass of the vision tower and two of the language model, forward and backward to its inputs, for its
    weights are frozen; a third where layers are checkpointed; and six products with LoRA's weights.
    """
    recipe = recipe_of(whole, number)
    tower, text = _flops_of_row(whole.shape)
    passes = 3 if recipe.get("gradient_checkpointing", True) else 2
    adapter = 6 * _parameters(whole.shape, 2)["trained"] * _num_tokens(whole.shape) if number == 2 else 0
    rows = stage_of(whole, number).rows * recipe.get("num_train_epochs", 3)
    return rows * (tower + passes * text + adapter) / (whole.assumed_tflops * 1e12) / 3600


def gigabytes_of_gpu(whole: Reproduction, number: int) -> float:
    """Memory of each GPU under DDP, CUDA's own left out; `recipes/benchmark/memory_plan.py` says how it is planned."""
    recipe = recipe_of(whole, number)
    parts = share(_parameters(whole.shape, number), "DDP", max(whole.gpus, 1))
    rows = recipe.get("per_device_train_batch_size", 8)
    activations = count_activations(whole.shape, number, rows, torch.bfloat16)
    kept = activations["checkpointed" if recipe.get("gradient_checkpointing", True) else "kept"]
    return (sum(parts.values()) + kept) / 1e9


@cache
def _model(shape: str, stage: int) -> PreTrainedModel:
    return make_model(safe_config(base_config(shape)), stage, "meta", torch.float32)


@cache
def _parameters(shape: str, stage: int) -> dict[str, int]:
    return count_parameters(_model(shape, stage))


def _num_tokens(shape: str) -> int:
    return NUM_TEXT_TOKENS + safe_config(base_config(shape)).image_seq_length


@cache
def _flops_of_row(shape: str) -> tuple[int, int]:
    """A forward pass of the vision tower with what reads it, and one of the language model."""
    model, size = _model(shape, 1).eval(), base_config(shape).vision_config.image_size
    pixels = torch.zeros(1, 3, size, size, device="meta")
    with torch.no_grad():
        tower = count(lambda: model.model.get_image_features(pixels, return_dict=True))
        return tower, count_token(model, _num_tokens(shape))[0]
