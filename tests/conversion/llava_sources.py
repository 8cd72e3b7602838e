"""Stock LLaVA checkpoints in each key layout, and what a conversion must keep of them."""

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import LlavaForConditionalGeneration, LlavaProcessor


SIZES = {"num_safety_tokens": 4, "num_safety_visual_tokens": 9, "safety_head_num_attention_heads": 4}
LAYOUTS = ("hub", "transformers_5", "transformers_5_original_format")


def to_hub_layout(key: str) -> str:
    """A parameter's name in the llava-hf repositories."""
    for new, old in (
        ("model.vision_tower.", "vision_tower.vision_model."),
        ("model.language_model.", "language_model.model."),
        ("lm_head.", "language_model.lm_head."),
        ("model.multi_modal_projector.", "multi_modal_projector."),
    ):
        if key.startswith(new):
            return old + key.removeprefix(new)
    raise AssertionError(key)


def save_llava(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path, layout: str) -> Path:
    model.save_pretrained(folder, save_original_format=layout == "transformers_5_original_format")
    if layout == "hub":
        weights = {to_hub_layout(key): value.contiguous() for key, value in model.state_dict().items()}
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    processor.save_pretrained(folder)
    return folder


def edit_json(path: Path, change: Callable[[dict], object]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def assert_stock_weights_kept(model: torch.nn.Module, stock: torch.nn.Module) -> None:
    weights = model.state_dict()
    for key, value in stock.state_dict().items():
        assert weights[key].dtype == value.dtype, key
        assert torch.equal(weights[key], value), key
    assert all(key.startswith("model.safety_modules.") for key in weights.keys() - stock.state_dict().keys())
