"""`safe-llava export`: the ONNX file, the folder beside it, and proof that both decide as the model does."""

import hashlib
import logging
import shutil
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import ProcessorMixin

from ..checkpoints import read_config
from ..files import atomic_path, describe_versions, write_json
from ..models.modeling_safe_llava import SafeLlavaForSafetyClassification
from ..models.pipeline_safe_llava import NEUTRAL_QUESTION
from ..models.processing_safe_llava import SafeLlavaProcessor
from ..models.safety_policy import SafetyPolicy
from ..models.special_tokens import find_special_tokens
from .parity import compare, require_same_pixels
from .traceable_guard import INPUTS, OUTPUTS, trace


CODE = (
    "chat_text",
    "image_formats",
    "image_modes",
    "image_reading",
    "onnx_guard",
    "onnx_pixels",
    "own_text",
    "safety_guarantee",
    "safety_labels",
    "safety_policy",
    "safety_texts",
)
"""What the guard needs at work, of the code that travels with models."""
PACKAGES = ("onnx", "onnxruntime", "torch", "transformers")
LEAST_INT8 = 0.995
"""Share of decisions that an int8 guard must share with the model."""
_INIT = '"""A guard that `safe-llava export` wrote. It needs onnxruntime, tokenizers, jinja2, Pillow and numpy."""\n'


def run_export(model: str, onnx_file: Path, *, int8: bool = False, scenes: int = 500) -> dict[str, Any]:
    """
    Exports the guard of a model.

    Args:
        model (`str`): a SafeLLaVA or guard checkpoint, a folder or a Hub id.
        onnx_file (`Path`): what is written; the folder beside it has its name without the suffix.
        int8 (`bool`, *optional*, defaults to `False`): whether the weights of matrix products become 8-bit integers.
        scenes (`int`, *optional*, defaults to 500): drawn scenes on which both must decide alike.

    Returns:
        `dict[str, Any]`: what `export.json` in the folder holds: `parity`, see [`compare`], `bytes` and `versions`.

    Raises:
        ValueError: if there is nothing to export, something stands in the way, or the exported guard decides
            otherwise than the model: in float32 anywhere, in int8 in more than 0.5 % of the scenes.
    """
    folder = onnx_file.with_suffix("")
    if onnx_file.suffix != ".onnx":
        raise ValueError(f"The file must be called something.onnx, got {onnx_file}.")
    if folder.exists() and not (folder / "guard.json").is_file():
        raise ValueError(f"{folder} stands where the folder beside {onnx_file} would go. Choose another name.")
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    config = read_config(model)
    if config.model_type != "safe_llava":
        raise ValueError(
            f"{model} is a {config.model_type}; guards of LLaVA-1.5-style models (safe_llava) are exported."
        )
    if config.safety_policy is None:
        raise ValueError(f"{model} has no safety policy, so an exported guard would decide nothing. Attach one first.")
    guard = SafeLlavaForSafetyClassification.from_pretrained(model, dtype=torch.float32).eval()
    processor = SafeLlavaProcessor.from_pretrained(model)
    guard.check_ready(processor)
    require_same_pixels(processor, processor.image_processor.to_dict())
    if (reason := guard.explain_distrust()) is not None:
        raise ValueError(f"No verdict of {model} can be trusted: {reason}. An export would hide it.")

    with atomic_path(onnx_file) as partial:
        _write_onnx(guard, _blank_pixels(processor).shape[-2:], partial)
        if int8:
            quantise(partial)
        sha256 = hashlib.sha256(partial.read_bytes()).hexdigest()
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    _write_code(folder)
    processor.tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(processor.chat_template, encoding="utf-8")
    write_json(folder / "guard.json", describe(guard, processor, onnx_file.name, sha256, int8))

    parity = compare(guard, processor, folder, scenes)
    results = {
        "model": model,
        "int8": int8,
        "bytes": onnx_file.stat().st_size,
        "parity": parity,
        "versions": describe_versions(*PACKAGES),
    }
    write_json(folder / "export.json", results)
    least = LEAST_INT8 if int8 else 1.0
    if parity["alike"] < least * parity["rows"]:
        onnx_file.unlink()
        raise ValueError(
            f"Of {parity['rows']} scenes the exported guard decides {parity['rows'] - parity['alike']} otherwise than "
            f"the model, more than {1 - least:.1%}. {folder / 'export.json'} lists them; {onnx_file} was removed."
        )
    return results


def _blank_pixels(processor: ProcessorMixin) -> torch.Tensor:
    return processor.image_processor(Image.new("RGB", (40, 30)), return_tensors="pt")["pixel_values"]


def _write_onnx(guard: SafeLlavaForSafetyClassification, size: torch.Size, path: Path) -> None:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program: Any = torch.onnx.export(
            trace(guard, *size),
            input_names=INPUTS,
            output_names=OUTPUTS,
            dynamo=True,
            verbose=False,
        )
    program.save(str(path))


def quantise(path: Path) -> None:
    """Rounds the weights of matrix products in an ONNX file to 8 bits, a scale for each column."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = path.with_suffix(".whole")
    path.rename(whole)
    try:
        quantize_dynamic(whole, path, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul"])
    finally:
        whole.unlink()


def _write_code(folder: Path) -> None:
    source = Path(__file__).parents[1] / "models"
    for name in CODE:
        shutil.copyfile(source / f"{name}.py", folder / f"{name}.py")
    (folder / "__init__.py").write_text(f"{_INIT}\nfrom .onnx_guard import OnnxGuard\n\n\n__all__ = ['OnnxGuard']\n")
    shutil.copyfile(Path(__file__).with_name("folder_main.py"), folder / "__main__.py")


def describe(
    guard: SafeLlavaForSafetyClassification, processor: ProcessorMixin, onnx: str, sha256: str, int8: bool
) -> dict[str, Any]:
    """What the folder says of the guard, beside its tokenizer and template."""
    tokenizer, policy = processor.tokenizer, SafetyPolicy.from_dict(guard.config.safety_policy or {})
    # Weights that were rounded give other scores than those that a promise was tested with.
    policy = policy.updated({"guarantee": None}) if int8 else policy
    pad = tokenizer.pad_token_id
    return {
        "onnx": onnx,
        "sha256": sha256,
        "policy": policy.to_dict(),
        "image_processor": processor.image_processor.to_dict(),
        "image_token_id": guard.config.image_token_id,
        "special_tokens": sorted({processor.image_token, *find_special_tokens(tokenizer).values()}),
        "template_variables": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "pad_token_id": 0 if pad is None else pad,
        "max_length": guard.config.text_config.max_position_embeddings,
        "neutral_question": NEUTRAL_QUESTION,
        "weights": (guard.config.safety_training or {})["digests"][0],
    }
