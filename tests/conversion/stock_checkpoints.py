"""Stock LLaVA checkpoints in every key layout, as files."""

from pathlib import Path

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
        ("model.image_newline", "image_newline"),
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
