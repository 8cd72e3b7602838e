"""`safe-llava export`: the ONNX file, the folder beside it, and proof that both decide as the model does."""

import hashlib
import json
import logging
import re
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from ..checkpoints import load_guard, read_config
from ..files import atomic_path, describe_versions, write_json
from ..guards.torch_guard import TorchGuard
from ..models.onnx_folder import FILES, SETTINGS, digest_settings, is_exported
from ..models.onnx_pixels import BASE_TILE_SIZE, SQUARES
from ..models.onnx_session import answer_probes, open_session
from ..models.safety_policy import SafetyPolicy
from .parity import compare, require_same_pixels
from .traceable_guard import INPUTS, NOVELTY, OUTPUTS, trace


PACKAGES = ("onnx", "onnxruntime", "torch", "transformers")
LEAST_INT8 = 0.995
"""Share of decisions that an int8 guard must share with the model."""
_INIT = '"""A guard that `safe-llava export` wrote. It needs onnxruntime, tokenizers, jinja2, Pillow and numpy."""\n'
_IMPORT = re.compile(r"^from \.(\w+) import", re.MULTILINE)


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
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not is_exported(folder)):
        raise ValueError(f"{folder} stands where the folder beside {onnx_file} would go. Choose another name.")
    for package in ("onnx", "onnxscript"):
        if find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    if read_config(model).safety_policy is None:
        raise ValueError(f"{model} has no safety policy, so an exported guard would decide nothing. Attach one first.")
    guard = TorchGuard(*load_guard(model, "cpu", "float32"))
    if (reason := guard.explain_distrust()) is not None:
        raise ValueError(f"No verdict of {model} can be trusted: {reason}. An export would hide it.")
    if guard.model.config.safety_tiles == "all":
        raise ValueError(
            f"The head of {model} reads all tiles of an image (`safety_tiles`), and an exported guard could see its "
            "base tile alone."
        )
    pixel_settings = describe_images(guard)
    require_same_pixels(guard, pixel_settings)

    with atomic_path(onnx_file) as partial:
        _write_onnx(guard, partial)
        if int8:
            quantise(partial)
        encoded = partial.read_bytes()
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir()
    _write_code(folder)
    guard.processor.tokenizer.backend_tokenizer.save(str(folder / FILES[0]))
    (folder / FILES[1]).write_text(guard.processor.chat_template, encoding="utf-8")
    files = {onnx_file.name: encoded, **{name: (folder / name).read_bytes() for name in FILES}}
    write_json(folder / SETTINGS, describe(guard, pixel_settings, files, int8))

    parity = compare(guard, folder, scenes)
    results = {
        "model": model,
        "int8": int8,
        "bytes": len(encoded),
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


def _write_onnx(guard: TorchGuard, path: Path) -> None:
    height, width = guard.encode_images([Image.new("RGB", (40, 30))])["pixel_values"].shape[-2:]
    with _quietly():
        program: Any = torch.onnx.export(
            trace(guard.model, height, width),
            input_names=INPUTS,
            output_names=OUTPUTS if guard.model.config.safety_familiarity is None else (*OUTPUTS, NOVELTY),
            dynamo=True,
            verbose=False,
        )
    program.save(str(path))


@contextmanager
def _quietly() -> Iterator[None]:
    """What exporters warn of, such as constants that they do not fold, is nothing that a user could mend."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def quantise(path: Path) -> None:
    """Rounds the weights of matrix products in an ONNX file to 8 bits, a scale for each column."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = path.with_suffix(".whole")
    path.rename(whole)
    try:
        with _quietly():
            quantize_dynamic(
                whole, path, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul"]
            )
    finally:
        whole.unlink()


def _write_code(folder: Path) -> None:
    source, waiting, written = Path(__file__).parents[1] / "models", ["onnx_guard"], set()
    while waiting:
        name = waiting.pop()
        if name not in written:
            written.add(name)
            shutil.copyfile(source / f"{name}.py", folder / f"{name}.py")
            waiting += _IMPORT.findall((source / f"{name}.py").read_text(encoding="utf-8"))
    (folder / "__init__.py").write_text(f"{_INIT}\nfrom .onnx_guard import OnnxGuard\n\n\n__all__ = ['OnnxGuard']\n")
    shutil.copyfile(Path(__file__).with_name("folder_main.py"), folder / "__main__.py")


def describe_images(guard: TorchGuard) -> dict[str, Any]:
    """What [`~safe_llava.models.onnx_pixels.to_pixel_values`] needs to know of an image processor."""
    settings = guard.processor.image_processor.to_dict()
    if guard.cuts_images:
        size = settings["size"]
        edges = [size.get(name) or size["shortest_edge"] for name in ("width", "height")]
        settings |= {BASE_TILE_SIZE: edges, SQUARES: "batch_num_images" in guard.model.image_arguments}
    return settings


def describe(
    guard: TorchGuard, image_processor: dict[str, Any], files: dict[str, bytes], int8: bool
) -> dict[str, Any]:
    """
    What the folder says of the guard.

    Args:
        guard ([`TorchGuard`]): the guard.
        image_processor (`dict`): of [`describe_images`].
        files (`dict[str, bytes]`): what the ONNX file, which comes first, and the files of the folder hold, by name.
        int8 (`bool`): whether its weights are rounded.
    """
    tokenizer, config = guard.processor.tokenizer, guard.model.config
    onnx, encoded = next(iter(files.items()))
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    policy = SafetyPolicy.from_dict(config.safety_policy or {})
    vocab_size = guard.model.get_input_embeddings().weight.shape[0]
    blank = guard.encode_images([Image.new("RGB", (40, 30))])
    placeholders = guard.processor.replace_image_token(blank, 0).count(guard.processor.image_token)
    settings = {
        "onnx": onnx,
        "files": digests,
        # Weights that were rounded give other scores than those that a promise was tested with.
        "weights": digests[onnx] if int8 else guard.weights,
        "policy": (policy.updated({"guarantee": None}) if int8 else policy).to_dict(),
        "known_answers": answer_probes(open_session(encoded), vocab_size),
        "image_processor": image_processor,
        "image_token_id": config.image_token_id,
        # Images that are cut take as many rows as they are large.
        "rows_of_image": None if guard.cuts_images else placeholders,
        "special_tokens": guard.special_texts.special_tokens,
        "template_variables": {name: str(token) for name, token in tokenizer.special_tokens_map.items()},
        "pad_token_id": tokenizer.pad_token_id or 0,
        "max_length": guard.max_tokens,
        "vocab_size": vocab_size,
    }
    return {**settings, "digest": digest_settings(json.loads(json.dumps(settings)))}
