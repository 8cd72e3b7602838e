"""
Puts language model and tower together: a stock LLaVA with processor, whose projector is fitted to words.

    python -m recipes.smol.assemble smol/drawings.parquet smol/aligned smol/tower smol/assembled
"""

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    CLIPImageProcessor,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerBase,
    set_seed,
)

from safe_llava.smol.drawings import SPLIT_MAKERS
from safe_llava.smol.lite0_tower import STRIDE, Lite0VisionModel

from .chat_template import CHAT_TEMPLATE
from .fit_projector import find_named, fit_projector, read_cells
from .gates import close_gate, share
from .train_tower import Views, embed_names


IMAGE_TOKEN = "<image>"
MIN_NAMED = 0.3


def build_processor(tokenizer: PreTrainedTokenizerBase, image_size: int) -> LlavaProcessor:
    """The language model's tokenizer with an image token, and images from -1 to 1 without cropping."""
    tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE_TOKEN]}, replace_extra_special_tokens=False)
    tokenizer.padding_side = "left"
    square = {"height": image_size, "width": image_size}
    return LlavaProcessor(
        CLIPImageProcessor(size=square, do_center_crop=False, image_mean=[0.5] * 3, image_std=[0.5] * 3),
        tokenizer,
        patch_size=STRIDE,
        vision_feature_select_strategy="full",
        num_additional_image_tokens=0,
        image_token=IMAGE_TOKEN,
        chat_template=CHAT_TEMPLATE,
    )


def build_llava(
    language: LlamaForCausalLM, tower: Lite0VisionModel, processor: LlavaProcessor
) -> LlavaForConditionalGeneration:
    """A LLaVA with these weights and a random projector."""
    tokenizer = processor.tokenizer
    language.resize_token_embeddings(len(tokenizer))
    config = LlavaConfig(
        vision_config=tower.config,
        text_config=language.config,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE_TOKEN),
        image_seq_length=(tower.config.image_size // STRIDE) ** 2,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlavaForConditionalGeneration(config)
    model.model.language_model.load_state_dict(language.model.state_dict())
    model.model.vision_tower.load_state_dict(tower.state_dict())
    model.tie_weights()
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def main(
    drawings: Annotated[Path, typer.Argument(help="drawings.parquet.")],
    language: Annotated[Path, typer.Argument(help="The aligned language model.")],
    tower: Annotated[Path, typer.Argument(help="The folder of the trained tower.")],
    output_dir: Annotated[Path, typer.Argument(help="Gets model and processor.")],
    scenes: Annotated[int, typer.Option(help="Scenes of the training makers to fit the projector on.")] = 8800,
    steps: Annotated[int, typer.Option(help="Steps of the projector, on what the tower saw in them.")] = 800,
    gate_scenes: Annotated[int, typer.Option(help="Scenes of the validation makers to measure on.")] = 200,
    seed: Annotated[int, typer.Option(help="Seed of projector and scenes.")] = 0,
) -> None:
    """Assemble, fit the projector, save, and measure on the makers of the validation split."""
    set_seed(seed)
    table = pd.read_parquet(drawings)
    shown = table[table.maker.isin(SPLIT_MAKERS["train"])]
    named = shown.drop_duplicates("concept")
    asked = table[table.maker.isin(SPLIT_MAKERS["validation"]) & table.concept.isin(named.concept)]
    words, names = embed_names(language, named.label.tolist()), named.concept.tolist()
    processor = build_processor(AutoTokenizer.from_pretrained(language), 224)
    model = build_llava(
        AutoModelForCausalLM.from_pretrained(language), Lite0VisionModel.from_pretrained(tower), processor
    ).eval()
    projector, eyes = model.model.multi_modal_projector, model.model.vision_tower
    fit_projector(projector, read_cells(eyes, Views(shown, names, scenes, seed + 1, singles=0)), words, steps)
    model.save_pretrained(output_dir)
    processor.save_pretrained(output_dir)
    seen = read_cells(eyes, Views(asked, names, gate_scenes, seed + 1, singles=0))
    figure = share(find_named(projector, seen, words))
    missed = f"of the cells with a drawing {figure['value']:.1%} are nearest to its name; {MIN_NAMED:.0%} were to be."
    close_gate(output_dir, {"cells_named": figure}, [missed] if figure["value"] < MIN_NAMED else [])


if __name__ == "__main__":
    typer.run(main)
