"""Turns a LLaVA checkpoint into a SafeLLaVA checkpoint: every stock weight kept, untrained safety modules added."""

import json
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub import split_torch_state_dict_into_shards
from safetensors.torch import save_file
from tqdm import tqdm
from transformers.dynamic_module_utils import custom_object_save
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME

from .conversion_processor import convert_processor
from .conversion_source import blaming, check_dtypes, check_layers, fetch_source, map_weights, read_llava_config
from .family import FAMILY
from .model_card import read_model_card, write_model_card
from .models.modeling_safety_base import SafetyCausalLMMixin
from .models.safety_configuration import SafetyConfigMixin
from .models.safety_policy import SafetyPolicy


PROJECTOR_INITS = ("random", "llava")
_SAFETY_MODULES = "model.safety_modules"


def convert_llava_checkpoint(
    source: str | os.PathLike,
    output: str | os.PathLike,
    *,
    num_safety_tokens: int = 64,
    safety_projector_type: str = "c_abstractor",
    safety_projector_init: str = "random",
    num_safety_visual_tokens: int = 576,
    safety_projector_hidden_size: int | None = None,
    safety_head_pooling: str = "question",
    safety_head_num_attention_heads: int = 8,
    safety_tiles: str = "base",
    use_safety_head: bool = True,
    safety_loss_coef: float = 10.0,
    dtype: torch.dtype | None = None,
    max_shard_size: int | str = "2GB",
    chat_template: str | None = None,
    seed: int = 0,
    revision: str | None = None,
) -> Path:
    """
    Converts a LLaVA-1.5, LLaVA-NeXT or LLaVA-OneVision checkpoint (Llama, Mistral or Qwen2 text model; CLIP, SigLIP
    or another tower whose hidden states are sequences) of any of its key layouts. The stock weights are copied as they
    are, file by file, never all in memory. The new safety modules are untrained, and the model treats every image as
    risky until stage 1 has trained them.

    Args:
        source (`str` or `os.PathLike`):
            A Hub id (`llava-hf/llava-1.5-7b-hf`) or a folder, with safetensors weights and a processor.
        output (`str` or `os.PathLike`):
            The folder to write. It must not exist, or be empty; it appears only when it is complete.
        safety_projector_init (`str`, *optional*, defaults to `"random"`):
            Or `"llava"`: an `"mlp"` begins as a copy of the LLaVA's own projector, whose shape it then has to have.
            Not in the paper. It learns with fewer rows where that projector says what is seen.
        num_safety_tokens (`int`, *optional*, defaults to 64): as the next eight, a field of [`SafetyConfigMixin`]. The
            defaults are the paper's sizes for LLaVA-1.5 (arXiv 2405.13581).
        safety_projector_type (`str`, *optional*, defaults to `"c_abstractor"`): or `"mlp"`.
        num_safety_visual_tokens (`int`, *optional*, defaults to 576): features that the head reads of each image.
        safety_projector_hidden_size (`int`, *optional*): the projector's inner width.
        safety_head_pooling (`str`, *optional*, defaults to `"question"`): or `"first"`.
        safety_head_num_attention_heads (`int`, *optional*, defaults to 8): the head's attention heads.
        safety_tiles (`str`, *optional*, defaults to `"base"`): or `"all"`, of a LLaVA that cuts images.
        use_safety_head (`bool`, *optional*, defaults to `True`): whether there are a head and a projector.
        safety_loss_coef (`float`, *optional*, defaults to 10.0): weight of the safety losses.
        dtype (`torch.dtype`, *optional*):
            Casts all floating weights. By default each keeps its own, and the new modules take that of the rest.
        max_shard_size (`int` or `str`, *optional*, defaults to `"2GB"`):
            Largest weight file.
        chat_template (`str`, *optional*):
            A Jinja chat template in place of the source's. Needed where the source has none, or one that takes
            neither lists of parts nor texts. One that takes texts gets each message's parts joined to one.
        seed (`int`, *optional*, defaults to 0):
            Seed of the new modules' random weights.
        revision (`str`, *optional*):
            Branch, tag or commit of a Hub `source`.

    Returns:
        `Path`: the folder that was written, with weights, config, default [`SafetyPolicy`] (none without a head),
        processor (it pads on the left, as generation needs it), code and card.

    Raises:
        FileExistsError: if `output` holds anything.
        OSError: if the source lacks its config, a weight file or a shard, or cannot be read.
        ValueError: if the source is no LLaVA, if a file of it is broken, if its weights are missing, of another shape
            or unknown, if its processor does not fit its model, or if its projector cannot be copied; the message
            names the file or the field.
    """
    if safety_projector_init not in PROJECTOR_INITS:
        raise ValueError(f"`safety_projector_init` must be one of {PROJECTOR_INITS}, got {safety_projector_init!r}.")
    output = Path(output).resolve()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise FileExistsError(f"`output` {output} exists and is not empty. Name a new folder, or remove it first.")
    folder = fetch_source(source, revision)
    base = read_llava_config(folder)
    weights = map_weights(folder)
    check_layers(base, len(weights), folder)
    member = FAMILY[f"safe_{base.pop('model_type')}"]
    config = member.config(
        **base,
        num_safety_tokens=num_safety_tokens,
        safety_projector_type=safety_projector_type,
        num_safety_visual_tokens=num_safety_visual_tokens,
        safety_projector_hidden_size=safety_projector_hidden_size,
        safety_head_pooling=safety_head_pooling,
        safety_head_num_attention_heads=safety_head_num_attention_heads,
        safety_tiles=safety_tiles,
        use_safety_head=use_safety_head,
        safety_loss_coef=safety_loss_coef,
    )
    model = _load_on_meta(folder, member.generator, config, weights, dtype)
    processor = convert_processor(folder, model, chat_template)
    new = _initialize_safety_modules(model, seed)
    if safety_projector_init == "llava":
        new |= _copy_projector(weights, new)
    weights |= new
    if use_safety_head:
        model.set_safety_policy(SafetyPolicy(), processor)

    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as workspace:
        partial = Path(workspace) / "checkpoint"
        partial.mkdir()
        _save_weights(weights, partial, max_shard_size, dtype)
        custom_object_save(model, partial)
        model.config.save_pretrained(partial)
        model.generation_config.save_pretrained(partial)
        processor.save_pretrained(partial)
        base_card = read_model_card(folder)
        write_model_card(
            partial,
            base_model=None if os.path.isdir(source) else str(source),
            license=None if base_card is None else base_card.data.license,
        )
        if output.exists():
            output.rmdir()
        partial.rename(output)
    return output


@contextmanager
def _quiet() -> Iterator[None]:
    """Holds back the report that the safety modules are missing, for in a conversion they always are."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(level)


def _load_on_meta(
    folder: Path,
    model_class: type[SafetyCausalLMMixin],
    config: SafetyConfigMixin,
    weights: dict[str, torch.Tensor],
    dtype: torch.dtype | None,
) -> SafetyCausalLMMixin:
    """The model without its data, once every name and shape is known to fit."""
    with _quiet(), blaming(f"{folder} does not hold the LLaVA that its config.json describes"):
        model, info = model_class.from_pretrained(
            folder,
            config=config,
            dtype=dtype or "auto",
            device_map="meta",
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    check_dtypes(weights, model, folder)
    safety_keys = {f"{_SAFETY_MODULES}.{key}" for key in model.model.safety_modules.state_dict()}
    problems = {
        "missing": info["missing_keys"] - safety_keys,
        "unknown": info["unexpected_keys"] | (safety_keys - info["missing_keys"]),
        "of another shape": {key for key, *_ in info["mismatched_keys"]},
    }
    found = [
        f"{len(keys)} weights are {what}: {', '.join(sorted(keys)[:3])}" for what, keys in problems.items() if keys
    ]
    if found:
        raise ValueError(
            f"{folder} does not hold the LLaVA that its config.json describes. {'; '.join(found)}. "
            "Nothing was written. Fetch the checkpoint again, or save it anew with transformers."
        )
    return model


def _initialize_safety_modules(model: SafetyCausalLMMixin, seed: int) -> dict[str, torch.Tensor]:
    """Random weights of the safety modules, by their names in the checkpoint. The same seed gives the same weights."""
    dtype, modules = model.dtype, model.model.safety_modules
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        modules.to_empty(device="cpu").float().apply(model.model._init_weights)
    return {f"{_SAFETY_MODULES}.{key}": value for key, value in modules.to(dtype).state_dict().items()}


def _copy_projector(weights: dict[str, torch.Tensor], new: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of the LLaVA's projector, by the names of the safety projector's."""
    copied = {}
    for layer, own in ((0, "linear_1"), (2, "linear_2")):
        for kind in ("weight", "bias"):
            name = f"{_SAFETY_MODULES}.projector.mlp.{layer}.{kind}"
            source = [key for key in weights if key.endswith(f"multi_modal_projector.{own}.{kind}")]
            if len(source) != 1 or name not in new or weights[source[0]].shape != new[name].shape:
                raise ValueError(
                    '`safety_projector_init="llava"` copies the LLaVA\'s projector, of two linear layers, to a safety '
                    'projector of the type "mlp" with the same shapes; here they are not. Leave it "random".'
                )
            copied[name] = weights[source[0]].to(new[name].dtype, copy=True)  # Files hold no tensor twice.
    return copied


def _save_weights(
    weights: dict[str, torch.Tensor], folder: Path, max_shard_size: int | str, dtype: torch.dtype | None
) -> None:
    """Writes the weights shard by shard and empties `weights`, so that a source file is let go once it is written."""

    def cast(tensor: torch.Tensor) -> torch.Tensor:
        return tensor if dtype is None or not tensor.is_floating_point() else tensor.to(dtype)

    # Tensors mapped from one file share its storage and would be planned as one, so plan with stand-ins.
    stand_ins = {key: cast(torch.empty_like(value, device="meta")) for key, value in weights.items()}
    plan = split_torch_state_dict_into_shards(stand_ins, max_shard_size=max_shard_size)
    for name, keys in tqdm(plan.filename_to_tensors.items(), desc="Writing weights", unit="shard"):
        shard = {key: cast(weights.pop(key)).contiguous() for key in keys}
        save_file(shard, folder / name, metadata={"format": "pt"})
    if plan.is_sharded:
        index = {"metadata": plan.metadata, "weight_map": plan.tensor_to_filename}
        (folder / SAFE_WEIGHTS_INDEX_NAME).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
