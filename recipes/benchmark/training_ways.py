"""The ways to train that `training.py` compares, each a stream of optimiser steps on one synthetic batch."""

import contextlib
import functools
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import AutoProcessor, LlavaForConditionalGeneration, PreTrainedModel, TrainerCallback
from trl import SFTConfig, SFTTrainer

from safe_llava import SafeLlavaForConditionalGeneration
from safe_llava.miniature import CHECKPOINT
from safe_llava.training import (
    LANGUAGE_MODEL_LINEAR_LAYERS,
    SafeSFTTrainer,
    SpareLastLayers,
    train_only_safety_modules,
)
from safe_llava.training.class_figures import HARMLESS

from .machine import device_and_dtype
from .request_images import count_image_rows, make_images
from .shapes import base_config, build, safe_config


NUM_PROMPT_TOKENS, NUM_ANSWER_TOKENS = 40, 40
"""A chat's frame with a short question, and an answer of two sentences."""

WAYS = {1: ("ours", "naive"), 2: ("ours", "plain")}
"""Ours and what it is measured against, for each stage."""


def train(
    way: str,
    shape: str,
    stage: int,
    batch_size: int,
    num_steps: int,
    num_spared: int | None,
    is_timed: Callable[[], Any],
) -> None:
    """
    Take optimiser steps in one of `WAYS`.

    Args:
        way (`str`): `"ours"`: [`SafeSFTTrainer`]. `"naive"`: forward with `labels`, so with all logits, the tower in
            the graph and every layer checkpointed. `"plain"`: trl's `SFTTrainer` on the stock LLaVA of the shape.
        shape (`str`): one of `shapes.SHAPES`.
        stage (`int`): 1 or 2.
        batch_size (`int`): rows, each an image with a prompt and an answer.
        num_steps (`int`): how many steps.
        num_spared (`int` or `None`): layers of the language model that ours and plain do not checkpoint; `None` for no
            checkpointing.
        is_timed (`Callable`): makes a context manager that is open for the length of each step.
    """
    device, dtype = device_and_dtype()
    base = base_config(shape)
    config = base if way == "plain" else safe_config(base)
    model_class = LlavaForConditionalGeneration if way == "plain" else SafeLlavaForConditionalGeneration
    model = build(model_class, config, device, dtype)
    batch = make_batch(config, batch_size, dtype)
    if way == "plain":
        batch = {name: value for name, value in batch.items() if not name.startswith("safety_")}
    if stage == 1:
        train_only_safety_modules(model)
    if way == "naive":
        train_naively(model, batch, num_steps, device, is_timed)
        return
    trainer_class = SFTTrainer if way == "plain" else SafeSFTTrainer
    trainer = trainer_class(
        model,
        args=SFTConfig(
            output_dir=tempfile.gettempdir(),
            max_steps=num_steps,
            per_device_train_batch_size=batch_size,
            max_length=None,
            learning_rate=1e-5,
            lr_scheduler_type="constant",
            bf16=device == "cuda",
            use_cpu=device == "cpu",
            gradient_checkpointing=num_spared is not None,
            # Ours asks for neither, and takes no option that changes nothing.
            **({"dataset_kwargs": {"skip_prepare_dataset": True}} if way == "plain" else {}),
            remove_unused_columns=False,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        # Their labels are looked at before training, and of each step the batch below.
        train_dataset=Dataset.from_dict(
            {
                "messages": [[]] * batch_size,
                "images": [[]] * batch_size,
                **{name: values.tolist() for name, values in batch.items() if name.startswith("safety_")},
            }
        ),
        processing_class=AutoProcessor.from_pretrained(CHECKPOINT),
        data_collator=lambda rows: dict(batch),
        # The paper's rank; narrow models get as large a part of their width as a 7B.
        peft_config=None
        if stage == 1
        else LoraConfig(r=min(256, config.text_config.hidden_size // 16), target_modules=LANGUAGE_MODEL_LINEAR_LAYERS),
        callbacks=[StepTimer(is_timed), SpareLastLayers(num_spared or 0)],
    )
    trainer.train()


class StepTimer(TrainerCallback):
    """Holds a context manager open from the beginning of each optimiser step to its end."""

    def __init__(self, is_timed: Callable[[], Any]):
        self.is_timed = is_timed
        self.stack = contextlib.ExitStack()

    def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
        self.stack.enter_context(self.is_timed())

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        self.stack.close()


def train_naively(
    model: PreTrainedModel, batch: dict[str, Any], num_steps: int, device: str, is_timed: Callable[[], Any]
) -> None:
    """What a loop of ten lines does that has only frozen what stage 1 freezes."""
    model.train().gradient_checkpointing_enable({"use_reentrant": False})
    for module in (model.model.safety_modules.projector, model.model.safety_modules.head):
        module.forward = functools.partial(checkpoint, module.forward, use_reentrant=False)
    batch = {name: value.to(device) for name, value in batch.items()}
    # transformers' checkpointing makes the output of every embedding require grad, the tower's too. A SafeLLaVA pays
    # no heed to that, as a stock LLaVA does; so the naive loop asks for it.
    batch["pixel_values"].requires_grad_()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    for _ in range(num_steps):
        with is_timed():
            with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                loss = model(**batch).loss
            loss.backward()
            batch["pixel_values"].grad = None
            nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()


def make_batch(config: Any, batch_size: int, dtype: torch.dtype) -> dict[str, Any]:
    """
    Rows of one image, a prompt and an answer, without padding. Noise, seed 0.

    Args:
        config (`Any`): of a model.
        batch_size (`int`): how many rows.
        dtype (`torch.dtype`): of the pixels.
    """
    num_image_tokens = count_image_rows(config)
    length = num_image_tokens + NUM_PROMPT_TOKENS + NUM_ANSWER_TOKENS
    input_ids = torch.full((batch_size, length), 5)
    input_ids[:, 5 : 5 + num_image_tokens] = config.image_token_id
    labels = input_ids.clone()
    labels[:, :-NUM_ANSWER_TOKENS] = -100
    return {
        "input_ids": input_ids,
        "attention_mask": torch.ones_like(input_ids),
        "labels": labels,
        **make_images(config, batch_size, "cpu", dtype),
        # Rows in turns, harmless and risky, of all levels and types.
        "safety_level": torch.arange(batch_size) % 4,
        "safety_type": torch.where(torch.arange(batch_size) % 4 == 0, HARMLESS["type"], torch.arange(batch_size) % 6),
    }
