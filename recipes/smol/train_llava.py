"""
Teaches the assembled LLaVA to talk about scenes: its projector, and LoRA through the language model.

    python -m recipes.smol.train_llava smol/drawings.parquet smol/assembled smol/base

It answers risky pairs freely, as LLaVAs do whose instruction tuning has undone the alignment of their language model.
"""

from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForImageTextToText, AutoProcessor, PreTrainedModel, set_seed
from trl import SFTConfig, SFTTrainer

import safe_llava  # noqa: F401 (registers the tower)
from safe_llava.smol.drawings import Drawings
from safe_llava.training.collator import SafeDataCollator

from ..steps.step_records import last_checkpoint
from .gates import close_gate
from .llava_conversations import build_conversations
from .llava_gate import measure


LANGUAGE_LAYERS = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
PROJECTOR = "multi_modal_projector"
LEARNING_RATE = 1e-3
PROJECTOR_LEARNING_RATE = 5e-5
"""The projector points at words already. At the adapters' rate it is driven off them before those can read it."""


def add_adapters(model: PreTrainedModel) -> PeftModel:
    """LoRA through the language model; the projector is trained as it is, and the tower not at all."""
    return get_peft_model(
        model, LoraConfig(r=16, lora_alpha=32, target_modules=LANGUAGE_LAYERS, modules_to_save=[PROJECTOR])
    )


def build_optimizer(model: PeftModel) -> torch.optim.AdamW:
    """AdamW with the projector's own learning rate."""
    trained = {name: weight for name, weight in model.named_parameters() if weight.requires_grad}
    adapters = [weight for name, weight in trained.items() if PROJECTOR not in name]
    projector = [weight for name, weight in trained.items() if PROJECTOR in name]
    groups: list[dict[str, Any]] = [{"params": adapters}, {"params": projector, "lr": PROJECTOR_LEARNING_RATE}]
    return torch.optim.AdamW(groups, lr=LEARNING_RATE, weight_decay=0.0)


def main(
    drawings: Annotated[Path, typer.Argument(help="drawings.parquet.")],
    source: Annotated[Path, typer.Argument(help="The assembled model.")],
    output_dir: Annotated[Path, typer.Argument(help="Gets model, processor and gate.json.")],
    steps: Annotated[int, typer.Option(help="Steps of 8 scenes with up to four questions each.")] = 400,
    save_steps: Annotated[int, typer.Option(help="Steps between two checkpoints.")] = 20,
    gate_rows: Annotated[int, typer.Option(help="Rows to measure on.")] = 400,
    seed: Annotated[int, typer.Option(help="Seed of adapters and scenes.")] = 0,
) -> None:
    """Train, merge, and measure on the makers of the validation split."""
    processor = AutoProcessor.from_pretrained(source)
    set_seed(seed)
    model = add_adapters(AutoModelForImageTextToText.from_pretrained(source))
    trainer = SFTTrainer(
        model,
        args=SFTConfig(
            str(output_dir),
            seed=seed,
            max_steps=steps,
            per_device_train_batch_size=8,
            lr_scheduler_type="cosine",
            warmup_steps=max(1, steps // 20),
            logging_steps=5,
            save_steps=save_steps,
            save_total_limit=1,
            report_to=[],
            bf16=False,
            gradient_checkpointing=False,
            # It is saved with the model, which would then answer without a cache.
            use_cache=True,
            max_length=None,
            remove_unused_columns=False,
            dataset_kwargs={"skip_prepare_dataset": True},
        ),
        train_dataset=build_conversations(Drawings(drawings, "train"), 8 * steps, seed),
        data_collator=SafeDataCollator(processor),
        processing_class=processor,
        optimizers=(build_optimizer(model), None),
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(output_dir))
    model = trainer.model.merge_and_unload().eval()
    model.save_pretrained(output_dir)
    processor.save_pretrained(output_dir)
    close_gate(output_dir, *measure(model, processor, Drawings(drawings, "validation"), gate_rows))


if __name__ == "__main__":
    typer.run(main)
