"""Guards that read a large image in different ways, of one tower and with the same training."""

import tempfile
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, BatchFeature, Trainer, TrainingArguments
from transformers.models.llava_next.image_processing_pil_llava_next import LlavaNextImageProcessorPil

from safe_llava import (
    SafeLlavaConfig,
    SafeLlavaForSafetyClassification,
    SafeLlavaNextConfig,
    SafeLlavaNextForSafetyClassification,
    SafeLlavaNextProcessor,
    SafeLlavaProcessor,
)
from safe_llava.miniature import CHECKPOINT
from safe_llava.miniature.drawing import IMAGE_SIZE
from safe_llava.models.safety_texts import NEUTRAL_QUESTION
from safe_llava.models.safety_trust import record_training

from .large_scenes import LargeScene


SIZES = {"num_safety_tokens": 8, "num_safety_visual_tokens": 36}
MOST_TILES = 3
GRIDS = [
    [IMAGE_SIZE * rows, IMAGE_SIZE * columns]
    for rows in range(1, MOST_TILES + 1)
    for columns in range(1, MOST_TILES + 1)
    if rows * columns > 1
]
"""Heights and widths that images are cut to: up to 3 x 3 tiles."""


@dataclass
class Contender:
    """A guard and the processor that goes with it."""

    model: Any
    processor: Any

    def encode(self, images: list[list[Any]]) -> BatchFeature:
        """Rows of one or more images with the question that stands in where nobody asked."""
        chats = [
            [
                {
                    "role": "user",
                    "content": [
                        *({"type": "image", "image": image} for image in of_row),
                        {"type": "text", "text": NEUTRAL_QUESTION},
                    ],
                }
            ]
            for of_row in images
        ]
        return self.processor.apply_chat_template(
            chats,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
            processor_kwargs={"padding": True},
        )


def build_contender(reads: str, seed: int, start: dict[str, torch.Tensor] | None = None) -> Contender:
    """
    New safety modules on the miniature's tower and word embeddings.

    Args:
        reads (`str`): "square", as LLaVA-1.5, or the `safety_tiles` of a LLaVA-NeXT.
        seed (`int`): of the modules' random weights.
        start (`dict[str, torch.Tensor]`, *optional*): weights to begin with, before the miniature's and new ones.
    """
    stock, processor = (
        AutoModelForImageTextToText.from_pretrained(CHECKPOINT),
        AutoProcessor.from_pretrained(CHECKPOINT),
    )
    parts = {"vision_config": stock.config.vision_config, "text_config": stock.config.text_config}
    shared = {**parts, **SIZES, "image_token_index": stock.config.image_token_id}
    settings = {
        "tokenizer": processor.tokenizer,
        "chat_template": processor.chat_template,
        "patch_size": processor.patch_size,
        "vision_feature_select_strategy": processor.vision_feature_select_strategy,
        "num_additional_image_tokens": 1 + SIZES["num_safety_tokens"],
    }
    torch.manual_seed(seed)
    if reads == "square":
        model: Any = SafeLlavaForSafetyClassification(SafeLlavaConfig(**shared))
        own = SafeLlavaProcessor(image_processor=processor.image_processor, **settings)
    else:
        config = SafeLlavaNextConfig(**shared, image_grid_pinpoints=GRIDS, safety_tiles=reads)
        model = SafeLlavaNextForSafetyClassification(config)
        size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
        images = LlavaNextImageProcessorPil(
            size={"shortest_edge": IMAGE_SIZE}, crop_size=size, image_grid_pinpoints=GRIDS
        )
        own = SafeLlavaNextProcessor(image_processor=images, **settings)
    model.load_state_dict(stock.state_dict() | (start or {}), strict=False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = ".safety_modules." in name
    return Contender(model, own)


def train(contender: Contender, scenes: list[LargeScene], seed: int, epochs: int) -> float:
    """Trains the safety modules with the losses of the head alone; returns the last one."""

    def collate(rows: list[LargeScene]) -> dict[str, torch.Tensor]:
        labels = {
            "safety_level": torch.tensor([scene.level for scene in rows]),
            "safety_type": torch.tensor([scene.type for scene in rows]),
        }
        return {**contender.encode([[scene.image] for scene in rows]), **labels}

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            learning_rate=2e-3,
            num_train_epochs=epochs,
            warmup_steps=20,
            lr_scheduler_type="cosine",
            per_device_train_batch_size=32,
            remove_unused_columns=False,
            logging_steps=10,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            seed=seed,
            use_cpu=True,
        )
        trainer = Trainer(contender.model, arguments, train_dataset=scenes, data_collator=collate)  # type: ignore[arg-type]
        trainer.train()
    contender.model.eval()
    record_training(contender.model)
    return next(entry["loss"] for entry in reversed(trainer.state.log_history) if "loss" in entry)
