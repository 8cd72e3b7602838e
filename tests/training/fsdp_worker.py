"""One of two gloo processes: gradients of a model sharded by FSDP2, saved for the test to compare.

accelerate ignores FSDP without a GPU, so this shards by hand as accelerate would: each block, then the whole model.
"""

import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoModel
from trl.trainer.utils import add_fused_lm_head

import safe_llava  # noqa: F401
from safe_llava.training import LANGUAGE_MODEL_LINEAR_LAYERS, train_only_safety_modules
from safe_llava.training.safety_losses import add_safety_losses


def gradients(folder: Path, stage: int, sharded: bool) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = AutoModel.from_pretrained(folder / "base")
    add_fused_lm_head(model)
    add_safety_losses(model)
    trained = model
    if stage == 1:
        train_only_safety_modules(model)
    else:
        trained = get_peft_model(
            model, LoraConfig(r=4, target_modules=LANGUAGE_MODEL_LINEAR_LAYERS, init_lora_weights=False)
        )
    trained.double()  # sharding changes the order of sums, which float32 would show
    if sharded:
        mesh = init_device_mesh("cpu", (2,))
        for block in (*model.model.language_model.layers, *model.model.vision_tower.encoder.layers):
            fully_shard(block, mesh=mesh)
        fully_shard(trained, mesh=mesh)
        whole = sum(param.numel() for param in trained.parameters())
        held = sum(param.to_local().numel() for param in trained.parameters())
        assert held < 0.52 * whole, f"rank {distributed.get_rank()} holds {held} of {whole} parameters"
    batch = torch.load(folder / "batch.pt", weights_only=True)
    batch["pixel_values"] = batch["pixel_values"].double()
    outputs = trained(**batch, fused_lm_head=True)
    loss = outputs.loss + model.config.safety_loss_coef * (outputs.level_loss + outputs.type_loss)
    loss.backward()
    found = {name: param.grad for name, param in trained.named_parameters() if param.grad is not None}
    return {name: grad.full_tensor() if sharded else grad for name, grad in found.items()}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    results = {(stage, sharded): gradients(folder, stage, sharded) for stage in (1, 2) for sharded in (False, True)}
    if distributed.get_rank() == 0:
        torch.save(results, folder / "gradients.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
