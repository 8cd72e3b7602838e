"""
Pre-trains the miniature LLaVA that the package ships, from random weights, on synthetic scenes.

    python -m recipes.miniature.pretrain --output-dir safe_llava/miniature/checkpoint

Phase 1 (`tower.py`) teaches the vision tower with dense labels, phase 2 (`language.py`) the rest, on the frozen tower.
"""

from pathlib import Path
from typing import Annotated

import torch
import typer
from transformers import LlavaConfig, LlavaForConditionalGeneration, LlavaProcessor, set_seed

from safe_llava.miniature.conversations import sample_conversations
from safe_llava.miniature.drawing import IMAGE_SIZE
from safe_llava.miniature.processor import PATCH_SIZE, build_processor
from safe_llava.models.safety_texts import DEFAULT_HINTS, DEFAULT_REFUSALS, UNTRUSTED_REFUSAL

from .language import WordAlignment, tokenize, train_language_model
from .tower import encode, patch_labels, render, sample_scenes, tower_accuracy, train_tower


IMAGE_TOKENS = (IMAGE_SIZE // PATCH_SIZE) ** 2
POLISHING_STEPS = 1000


def corpus() -> list[str]:
    """Everything that the tokenizer should know word by word, novel wordings included."""
    texts = ["USER: ASSISTANT:", *DEFAULT_REFUSALS.values(), UNTRUSTED_REFUSAL]
    texts += [hint for hints in DEFAULT_HINTS.values() for hint in hints.values()]
    for split in ("pretrain", "novel"):
        for stage in ("pretrain", "stage2"):
            rows = sample_conversations(split, 4000, stage=stage)
            texts += [message["content"] for row in rows for message in row.messages]
    return [f"{text}\n {text}" for text in texts]


def build_model(processor: LlavaProcessor) -> LlavaForConditionalGeneration:
    """A stock LLaVA-1.5 with random weights: CLIP tower, two-layer projector, Llama, about 1.3 million parameters."""
    tokenizer = processor.tokenizer
    config = LlavaConfig(
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": 128,
            "intermediate_size": 256,
            "projection_dim": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH_SIZE,
            "hidden_act": "gelu_pytorch_tanh",
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "max_position_embeddings": 1024,
            # 0.02 suits widths of thousands: at 128 it leaves attention flat, and looking things up is learned late.
            "initializer_range": 0.06,
            "pad_token_id": tokenizer.pad_token_id,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
        },
        image_token_index=tokenizer.image_token_id,
        image_seq_length=IMAGE_TOKENS,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.max_new_tokens = 32
    return model


def teach_language(
    model: LlavaForConditionalGeneration,
    processor: LlavaProcessor,
    num_conversations: int,
    steps: int,
    polishing_rounds: int,
    seed: int,
) -> None:
    """Train projector and language model on the frozen tower, then on with the hardest topic repeated."""
    conversations = sample_conversations("pretrain", num_conversations, seed, "pretrain")
    scenes = [scene for row in conversations for scene in row.scenes]
    features = encode(model.model.vision_tower, render(scenes, processor.image_processor))
    alignment = WordAlignment(processor.tokenizer, torch.stack([patch_labels(scene) for scene in scenes]))
    rows = tokenize(conversations, processor, IMAGE_TOKENS)
    set_seed(seed)
    train_language_model(model, rows, features, alignment, steps, 48, 2e-3)

    # That something is *not* in the image is learned last, for no patch says so.
    hard = [row for row, conversation in zip(rows, conversations) if conversation.question.topic == "exists"]
    for polishing in range(1, polishing_rounds + 1):
        set_seed(seed + polishing)
        train_language_model(model, rows + 4 * hard, features, alignment, POLISHING_STEPS, 48, 1.5e-3)


def main(
    output_dir: Annotated[Path, typer.Option(help="Where model and processor are written.")],
    tower_scenes: Annotated[int, typer.Option(help="Scenes to train the tower on.")] = 28_000,
    tower_steps: Annotated[int, typer.Option(help="Steps of 128 scenes.")] = 1700,
    conversations: Annotated[int, typer.Option(help="Conversations to train the language model on.")] = 45_000,
    steps: Annotated[int, typer.Option(help="Steps of 48 conversations.")] = 2400,
    polishing_rounds: Annotated[int, typer.Option(help="Rounds of 1000 steps more on the hardest topic.")] = 2,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    seed: Annotated[int, typer.Option(help="Seed of weights, scenes and conversations.")] = 0,
) -> None:
    """Pre-train and save model and processor."""
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    set_seed(seed)
    processor = build_processor(corpus())
    model = build_model(processor)
    tower = model.model.vision_tower

    scenes = sample_scenes("pretrain", tower_scenes, seed, any_look=0.6)
    labels = torch.stack([patch_labels(scene) for scene in scenes])
    reader = train_tower(tower, render(scenes, processor.image_processor), labels, tower_steps, 128, 2e-3)
    for split in ("validation", "restyled"):
        held_out = sample_scenes(split, 1000, seed)
        pixels = render(held_out, processor.image_processor)
        accuracy = tower_accuracy(tower, reader, pixels, torch.stack([patch_labels(scene) for scene in held_out]))
        print(split, {name: round(value, 4) for name, value in accuracy.items()})

    teach_language(model, processor, conversations, steps, polishing_rounds, seed)
    model.save_pretrained(output_dir)
    processor.save_pretrained(output_dir)


if __name__ == "__main__":
    typer.run(main)
