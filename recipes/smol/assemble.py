"""
Puts language model and tower together: a stock LLaVA with processor, whose projector is fitted to words.

    python -m recipes.smol.assemble smol/drawings.parquet smol/aligned smol/tower smol/assembled

The projector is fitted to give, for each cell of a scene, the mean word embedding of what is drawn there.
"""

from pathlib import Path
from typing import Annotated

import pandas as pd
import torch
import typer
from torch.nn import functional as F
from tqdm import trange
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
from .drawing_views import BACKGROUND, UNSURE
from .train_tower import Views, collate, embed_names


IMAGE_TOKEN = "<image>"
BATCH_SIZE = 16


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


def fit_projector(
    model: LlavaForConditionalGeneration, views: Views, word_embeddings: torch.Tensor, steps: int
) -> float:
    """
    Fits the projector to words, on the frozen tower.

    Args:
        model ([`~transformers.LlavaForConditionalGeneration`]): its projector is fitted in place.
        views ([`Views`]): scenes with the drawing of each cell.
        word_embeddings (`torch.FloatTensor` of shape `(names, width)`): what each drawing's cells should become.
        steps (`int`): steps of 16 scenes.

    Returns:
        `float`: cosine between the last batches' cells and their names, around the mean of all.
    """
    projector, mean = model.model.multi_modal_projector, word_embeddings.mean(0)
    optimizer = torch.optim.AdamW(projector.parameters(), lr=2e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    scale = word_embeddings.std()
    cosine = 0.0
    for step in (shown := trange(steps, desc="projector")):
        batch = collate([views[step * BATCH_SIZE + row] for row in range(BATCH_SIZE)])
        with torch.no_grad():
            features = model.model.vision_tower(batch["scene"]).last_hidden_state.flatten(0, 1)
        cells = batch["cells"].flatten()
        known = cells != UNSURE
        targets = torch.where((cells == BACKGROUND)[:, None], mean, word_embeddings[cells.clamp(min=0)])[known]
        weights = torch.where(cells[known] == BACKGROUND, 0.1, 1.0)
        projected = projector(features[known])
        loss = (((projected - targets) / scale).pow(2).mean(-1) * weights).sum() / weights.sum()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        named = weights == 1
        now = F.cosine_similarity(projected[named] - mean, targets[named] - mean).mean().item()
        cosine = 0.9 * cosine + 0.1 * now
        shown.set_postfix(cosine=f"{cosine:.3f}")
    return cosine


def main(
    drawings: Annotated[Path, typer.Argument(help="drawings.parquet.")],
    language: Annotated[Path, typer.Argument(help="The aligned language model.")],
    tower: Annotated[Path, typer.Argument(help="The folder of the trained tower.")],
    output_dir: Annotated[Path, typer.Argument(help="Gets model and processor.")],
    steps: Annotated[int, typer.Option(help="Steps of 16 scenes for the projector.")] = 150,
    seed: Annotated[int, typer.Option(help="Seed of projector and scenes.")] = 0,
) -> None:
    """Assemble, fit the projector, save."""
    set_seed(seed)
    table = pd.read_parquet(drawings)
    table = table[table.maker.isin(SPLIT_MAKERS["train"])]
    named = table.drop_duplicates("concept")
    words = embed_names(language, named.label.tolist())
    processor = build_processor(AutoTokenizer.from_pretrained(language), 224)
    model = build_llava(
        AutoModelForCausalLM.from_pretrained(language), Lite0VisionModel.from_pretrained(tower), processor
    ).eval()
    fit_projector(model, Views(table, named.concept.tolist(), steps * BATCH_SIZE, seed + 1, singles=0), words, steps)
    model.save_pretrained(output_dir)
    processor.save_pretrained(output_dir)


if __name__ == "__main__":
    typer.run(main)
