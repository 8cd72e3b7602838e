"""
Memory per GPU of both stages under DDP, ZeRO-2 and FSDP2, planned without a GPU.

    python -m recipes.benchmark.memory_plan --output-dir memory

Parameters are counted on the model of the recipes (frozen ones in bfloat16, trained ones in float32) without their
memory. What Adam and the three ways to share it keep follows ZeRO (arXiv 1910.02054, section 3) with the precisions of
accelerate 1.15: for P frozen parameters, T trained ones and N GPUs, in bytes,

| | parameters | gradients | optimizer |
|---|---|---|---|
| DDP | 2 P + 4 T | 4 T, and 4 T of buckets for N > 1 | 8 T |
| ZeRO-2 | 2 P + 2 T | 2 T / N | (4 + 8) T / N: float32 copies and moments |
| FSDP2 | (2 P + 4 T) / N, and what is gathered | 4 T / N | 8 T / N |

FSDP2 holds two decoder layers gathered, the one that runs and the next, beside what no layer holds, all in bfloat16.
Activations are what autograd keeps, counted with fake tensors on two and on three decoder layers, which are all alike;
with checkpointing each layer keeps its input, and one layer at a time is whole again (arXiv 1604.06174). Not in the
plan: CUDA's context, cuBLAS workspaces and fragmentation, together about 1 to 3 GiB.

`--check` compares the count of activations with what torch's allocator holds after a real forward pass.
"""

import copy
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any
from unittest import mock

import torch
import typer
from peft import LoraConfig, get_peft_model
from rich.console import Console
from rich.table import Table
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call
from torch.profiler import ProfilerActivity, profile
from transformers import PreTrainedModel
from transformers.models.llava import modeling_llava as llava
from transformers.models.llava_next import modeling_llava_next as llava_next
from transformers.models.llava_onevision import modeling_llava_onevision as llava_onevision

from safe_llava.family import FAMILY
from safe_llava.files import describe_versions, write_json
from safe_llava.training import LANGUAGE_MODEL_LINEAR_LAYERS, train_only_safety_modules

from .shapes import TILED_SHAPES, base_config, build, safe_config
from .training_ways import make_batch


SHAPES = ("llava-1.5-7b", "llava-1.5-13b", *TILED_SHAPES[1:])
WAYS = ("DDP", "ZeRO-2", "FSDP2")
NUM_GPUS = (1, 2, 4, 8)


def main(
    output_dir: Annotated[Path, typer.Option(help="Folder for results.json.")],
    batch_size: Annotated[int, typer.Option(min=1, help="Rows on each GPU.")] = 4,
    check: Annotated[bool, typer.Option("--check", help="Run the mid shape and compare.")] = False,
) -> None:
    """Plan the memory of both stages at real shapes."""
    plans = [plan(shape, stage, batch_size) for shape in SHAPES for stage in (1, 2)]
    results: dict[str, Any] = {"batch_size": batch_size, "versions": describe_versions("torch"), "plans": plans}
    if check:
        results["check"] = check_activations()
    write_json(output_dir / "results.json", results)
    for found in plans:
        Console().print(in_words(found))
    if check:
        Console().print(results["check"])


def plan(shape: str, stage: int, batch_size: int) -> dict[str, Any]:
    """Bytes of each part for each way and number of GPUs."""
    counts = count_parameters(make_model(safe_config(base_config(shape)), stage, "meta", torch.bfloat16))
    activations = count_activations(shape, stage, batch_size, torch.bfloat16)
    shares = {way: {gpus: share(counts, way, gpus) for gpus in NUM_GPUS} for way in WAYS}
    return {"shape": shape, "stage": stage, "parameters": counts, "activations": activations, "shares": shares}


def share(counts: dict[str, int], way: str, num_gpus: int) -> dict[str, int]:
    """Bytes of parameters, gradients and optimizer on one GPU; the formulas stand above."""
    frozen, trained = counts["frozen"], counts["trained"]
    if way == "DDP":
        copies = 1 if num_gpus == 1 else 2
        parts = (2 * frozen + 4 * trained, 4 * trained * copies, 8 * trained)
    elif way == "ZeRO-2":
        parts = (2 * frozen + 2 * trained, 2 * trained // num_gpus, 12 * trained // num_gpus)
    else:
        gathered = 0 if num_gpus == 1 else 2 * (2 * counts["decoder_layer"] + counts["outside_layers"])
        sharded = (2 * frozen + 4 * trained) // num_gpus
        parts = (sharded + gathered, 4 * trained // num_gpus, 8 * trained // num_gpus)
    return dict(zip(("parameters", "gradients", "optimizer"), parts))


def count_parameters(model: nn.Module) -> dict[str, int]:
    """How many are frozen, are trained, stand in one decoder layer, and stand outside all layers that FSDP2 shards."""
    sizes = {name: (parameter.numel(), parameter.requires_grad) for name, parameter in model.named_parameters()}
    layered = {name: size for name, (size, _) in sizes.items() if ".layers." in name}
    total = sum(size for size, _ in sizes.values())
    return {
        "frozen": sum(size for size, is_trained in sizes.values() if not is_trained),
        "trained": sum(size for size, is_trained in sizes.values() if is_trained),
        "decoder_layer": sum(size for name, size in layered.items() if ".language_model.layers.0." in name),
        "outside_layers": total - sum(layered.values()),
    }


def count_activations(shape: str, stage: int, batch_size: int, dtype: torch.dtype) -> dict[str, int]:
    """Bytes that autograd keeps of one batch with no layer checkpointed and with all of them."""
    full = safe_config(base_config(shape))
    counts = {}
    for layers in (2, 3):
        config = copy.deepcopy(full)
        config.text_config.num_hidden_layers = layers
        backbone = make_model(config, stage, "meta", dtype).base_model
        counts[layers] = kept_for_backward(backbone, config, batch_size, dtype)
    layer, num_layers = counts[3] - counts[2], full.text_config.num_hidden_layers
    rest = counts[2] - 2 * layer
    tokens = batch_size * make_batch(full, 1, dtype)["input_ids"].shape[1]
    inputs = num_layers * tokens * full.text_config.hidden_size * dtype.itemsize
    return {"kept": rest + num_layers * layer, "checkpointed": rest + inputs + layer}


def make_model(config: Any, stage: int, device: str, dtype: torch.dtype) -> PreTrainedModel:
    """The model as a stage trains it: what trains in float32, all else in `dtype`."""
    model = build(FAMILY[config.model_type].generator, config, device, dtype).train()
    if stage == 1:
        train_only_safety_modules(model)
        return model
    lora = LoraConfig(r=256, lora_dropout=0.05, target_modules=LANGUAGE_MODEL_LINEAR_LAYERS)
    return get_peft_model(model, lora, low_cpu_mem_usage=device == "meta").get_base_model()


def kept_for_backward(backbone: nn.Module, config: Any, batch_size: int, dtype: torch.dtype) -> int:
    """Bytes of the storages that a forward pass keeps for backward, parameters left out. The backbone is on "meta"."""
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor.untyped_storage()
        return tensor

    batch = make_batch(config, batch_size, dtype)
    # How many tiles an image has takes values, which fake tensors have not.
    sizes = {name: batch.pop(name).tolist() for name in ("image_sizes",) if name in batch}
    with FakeTensorMode() as mode, ExitStack() as stack:
        weights = {
            name: torch.empty(tensor.shape, dtype=tensor.dtype, requires_grad=tensor.requires_grad)
            for name, tensor in (*backbone.named_parameters(), *backbone.named_buffers())
        }
        batch = {name: mode.from_tensor(value) for name, value in batch.items()} | sizes
        for module in (llava, llava_next, llava_onevision):
            stack.enter_context(mock.patch.object(module, "torch_compilable_check"))
        with saved_tensors_hooks(keep, lambda tensor: tensor):
            outputs = run_forward(lambda **inputs: functional_call(backbone, weights, kwargs=inputs), batch, dtype)
        for tensor in weights.values():
            kept.pop(tensor.untyped_storage()._cdata, None)
        del outputs
    return sum(storage.nbytes() for storage in kept.values())


def run_forward(backbone: Callable[..., Any], batch: dict[str, torch.Tensor], dtype: torch.dtype) -> Any:
    """A forward pass but for the logits of the answers, which trl computes again in backward."""
    # To look whether anything is masked takes values, which fake tensors have not. Here nothing is.
    inputs = {name: value for name, value in batch.items() if name != "attention_mask"}
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        return backbone(**inputs, use_cache=False)


def check_activations() -> dict[str, dict[str, int]]:
    """For both stages at the mid shape, one float32 row: bytes counted, and bytes that a real forward pass holds."""
    results = {}
    for stage in (1, 2):
        config = safe_config(base_config("mid"))
        backbone = make_model(config, stage, "cpu", torch.float32).base_model
        batch = make_batch(config, 1, torch.float32)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            outputs = run_forward(backbone, batch, torch.float32)
        held = sum(event.self_cpu_memory_usage for event in profiler.key_averages())
        del outputs
        results[f"stage {stage}"] = {
            "counted": count_activations("mid", stage, 1, torch.float32)["kept"],
            "held": held,
        }
    return results


def in_words(found: dict[str, Any]) -> Table:
    activations = found["activations"]
    table = Table(title=f"{found['shape']}, stage {found['stage']}, GiB on each GPU")
    for header in ("", "GPUs", "parameters", "gradients", "optimizer", "sum", "+ checkpointed", "+ all kept"):
        table.add_column(header, justify="right")
    for way, by_gpus in found["shares"].items():
        for num_gpus, parts in by_gpus.items():
            total = sum(parts.values())
            sums = (total, total + activations["checkpointed"], total + activations["kept"])
            table.add_row(way, str(num_gpus), *(f"{size / 2**30:.1f}" for size in (*parts.values(), *sums)))
    return table


if __name__ == "__main__":
    typer.run(main)
