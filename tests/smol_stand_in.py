"""Stand-ins for what the build of the small LLaVA leaves: squares for drawings, and a LLaVA of random weights."""

from io import BytesIO
from pathlib import Path

import torch
from datasets import Dataset, Features, Image, Value
from PIL import Image as PILImage
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from recipes.smol.assemble import build_llava, build_processor
from safe_llava.smol.concepts import read_concepts
from safe_llava.smol.drawings import SPLIT_MAKERS
from safe_llava.smol.lite0_tower import Lite0VisionConfig, Lite0VisionModel
from safe_llava.smol.smol_world import BASE, DRAWINGS


IMAGE_SIZE = 64


def draw_table() -> Dataset:
    """For every maker and every emoji of the table a square in the color that the thing is known by."""
    table = read_concepts()
    squares = {color: _draw_square(color) for color in {"navy", *table.colors.values()}}
    rows = [
        {"maker": maker, "concept": code, "image": {"bytes": squares[table.colors.get(name, "navy")], "path": None}}
        for makers in SPLIT_MAKERS.values()
        for maker in makers
        for name, concept in table.concepts.items()
        for code in concept.codes
    ]
    features = Features({"maker": Value("string"), "concept": Value("string"), "image": Image()})
    return Dataset.from_list(rows, features=features)


def _draw_square(color: str) -> bytes:
    image = PILImage.new("RGBA", (16, 16), (0, 0, 0, 0))
    image.paste(color, (2, 2, 14, 14))
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def fill_folder(folder: Path, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write base and drawings as the build does, the base two layers deep."""
    torch.manual_seed(0)
    # To a tokenizer of ChatML these are single tokens.
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    language = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    processor = build_processor(tokenizer, IMAGE_SIZE)
    build_llava(language, Lite0VisionModel(Lite0VisionConfig(IMAGE_SIZE)), processor).save_pretrained(folder / BASE)
    processor.save_pretrained(folder / BASE)
    draw_table().to_parquet(folder / DRAWINGS)
