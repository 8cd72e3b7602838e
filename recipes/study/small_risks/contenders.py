"""Guards that read a large image in different ways, of one tower and with the same training."""

from dataclasses import dataclass
from statistics import mean
from typing import Any

import torch
from tqdm import tqdm
from transformers import AutoModelForImageTextToText, AutoProcessor, BatchFeature
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
from safe_llava.models.safety_modules import SafeLlavaImageFeatures
from safe_llava.models.safety_texts import NEUTRAL_QUESTION
from safe_llava.models.safety_trust import record_training

from .large_scenes import LargeScene


SIZES = {"num_safety_tokens": 8, "num_safety_visual_tokens": 36}
_BATCH = 16
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


def train(contender: Contender, scenes: list[LargeScene], seed: int, epochs: int, learning_rate: float) -> float:
    """
    Trains the safety modules with the losses of the head alone.

    Args:
        contender ([`Contender`]): the guard, changed in place.
        scenes (`list[LargeScene]`): what to learn from.
        seed (`int`): of the order of the scenes.
        epochs (`int`): how often each is shown.
        learning_rate (`float`): peak of the one-cycle schedule.

    Returns:
        `float`: the mean loss of the last epoch.
    """
    model = contender.model.train()
    prompt, features = encode_once(contender, scenes)
    levels, types = (torch.tensor([getattr(scene, name) for scene in scenes]) for name in ("level", "type"))
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0)
    steps = epochs * -(-len(scenes) // _BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    order = torch.Generator().manual_seed(seed)
    for _ in (bar := tqdm(range(epochs), desc="train", leave=False)):
        losses = []
        for rows in torch.randperm(len(scenes), generator=order).split(_BATCH):
            images = {"image": join_features([features[row] for row in rows.tolist()])}
            inputs = {"input_ids": prompt.repeat(len(rows), 1), "mm_encoder_outputs": images}
            loss = model(**inputs, safety_level=levels[rows], safety_type=types[rows]).loss
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        bar.set_postfix(loss=f"{mean(losses):.3f}")
    model.eval()
    record_training(model)
    return mean(losses)


def encode_once(contender: Contender, scenes: list[LargeScene]) -> tuple[torch.Tensor, list[SafeLlavaImageFeatures]]:
    """The prompt with one placeholder for the image, and what the frozen tower makes of each scene, for all epochs."""
    features = []
    for scene in tqdm(scenes, desc="encode", leave=False):
        inputs = contender.encode([[scene.image]])
        image_arguments = {name: inputs[name] for name in ("pixel_values", "image_sizes") if name in inputs}
        with torch.no_grad():
            features.append(contender.model.get_image_features(**image_arguments))
        features[-1].num_placeholders = [1]
    prompt, image_token = inputs["input_ids"][0], contender.model.config.image_token_id
    is_first = (prompt == image_token).cumsum(0) == 1
    return prompt[(prompt != image_token) | is_first], features


def join_features(features: list[SafeLlavaImageFeatures]) -> SafeLlavaImageFeatures:
    """The images of several rows as those of one batch."""
    tiles = [grid for of_row in features for grid in of_row.tiles or ()]
    patches: Any = [of_row.patch_features for of_row in features]
    return SafeLlavaImageFeatures(
        patch_features=torch.cat(patches),
        patch_grid=features[0].patch_grid,
        num_placeholders=[1] * len(features),
        tiles=tiles or None,
    )
