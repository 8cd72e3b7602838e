"""
Teaches EfficientNet-Lite0 the names of the training makers' drawings, alone and in scenes.

    python -m recipes.smol.train_tower smol/drawings.parquet smol/packages smol/aligned smol/tower

It starts from the ImageNet weights. Each cell of its last feature map is told from which drawing it is, by a
classifier and by the place of its name among the language model's word embeddings, where the projector begins.
"""

import io
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, Trainer, TrainingArguments, set_seed

from safe_llava.smol.drawings import SPLIT_MAKERS
from safe_llava.smol.lite0_tower import Lite0VisionConfig, Lite0VisionModel

from ..steps.step_records import last_checkpoint
from .drawing_views import BACKGROUND, UNSURE, scene_view, single_view
from .gates import close_gate
from .imagenet_weights import load_imagenet_weights
from .tower_gate import find_missed, measure


BATCH_SIZE = 8
"""Scenes in a step."""
ZOOM = 2
"""At 96 pixels frozen features name 51 to 55 % of the validation makers' drawings, and twice as large 63 to 64 %."""
SINGLES = 3
"""Drawings alone for each scene."""
TEMPERATURE = 0.05


class Views(Dataset):
    """Row `i` is the same for the same seed: a scene of one to four drawings, and `singles` drawings alone."""

    def __init__(self, drawings: pd.DataFrame, names: list[str], length: int, seed: int, singles: int = SINGLES):
        places = {concept: place for place, concept in enumerate(names)}
        self.drawings = [
            (places[row.concept], Image.open(io.BytesIO(row.image["bytes"])).convert("RGBA"))
            for row in drawings.itertuples()
        ]
        self.length, self.seed, self.singles = length, seed, singles

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        rng = random.Random(f"{self.seed}/{index}")
        scene = scene_view(rng.sample(self.drawings, rng.choice((1, 2, 3, 4))), rng)
        row = {
            "scene": scene.pixels,
            "cells": scene.cells,
        }
        if self.singles:
            alone = rng.sample(self.drawings, self.singles)
            row["singles"] = torch.stack([single_view(drawing, rng) for _, drawing in alone])
            row["names"] = torch.tensor([place for place, _ in alone])
        return row


def collate(rows: list[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Stacks scenes; what is alone lies one behind the other."""
    batch = {name: torch.stack([row[name] for row in rows]) for name in ("scene", "cells")}
    return batch | {name: torch.cat([row[name] for row in rows]) for name in ("singles", "names") if name in rows[0]}


class NamingTower(nn.Module):
    """The tower with what it is taught by: a classifier of names, and a projection to their word embeddings."""

    word_embeddings: torch.Tensor

    def __init__(self, tower: Lite0VisionModel, word_embeddings: torch.Tensor):
        super().__init__()
        self.tower = tower
        width = tower.config.hidden_size
        self.classifier = nn.Linear(width, len(word_embeddings) + 1)
        self.word_projection = nn.Linear(width, word_embeddings.shape[1])
        self.background = nn.Parameter(torch.randn(1, word_embeddings.shape[1]))
        self.register_buffer("word_embeddings", F.normalize(word_embeddings - word_embeddings.mean(0), dim=-1))

    def forward(self, scene, cells, singles, names) -> dict[str, torch.Tensor]:
        """The loss over cells of scenes and single drawings."""
        in_scene = self.tower(scene).last_hidden_state.flatten(0, 1)
        alone = self.tower(singles).last_hidden_state.mean(1)
        targets = cells.flatten()
        known = targets != UNSURE
        targets = torch.where(targets == BACKGROUND, len(self.word_embeddings), targets)
        # Most cells are background, and they are easily told.
        weights = torch.ones(len(self.word_embeddings) + 1)
        weights[-1] = 0.1
        loss = self._loss(in_scene[known], targets[known], weights) + self._loss(alone, names, weights)
        return {"loss": loss}

    def _loss(self, features: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        words = torch.cat([self.word_embeddings, F.normalize(self.background, dim=-1)])
        close = F.normalize(self.word_projection(features), dim=-1) @ words.T / TEMPERATURE
        named = self.classifier(F.dropout(features, 0.1, self.training))
        losses = [F.cross_entropy(each, targets, weights, label_smoothing=0.1) for each in (named, close)]
        return torch.stack(losses).sum()


def embed_names(language: Path, labels: list[str]) -> torch.Tensor:
    """The mean word embedding of each name, `(names, width)`."""
    tokenizer = AutoTokenizer.from_pretrained(language)
    embeddings = AutoModelForCausalLM.from_pretrained(language).get_input_embeddings().weight.detach()
    return torch.stack([embeddings[tokenizer(f" {label}")["input_ids"]].mean(0) for label in labels])


def main(
    drawings: Annotated[Path, typer.Argument(help="drawings.parquet.")],
    packages: Annotated[Path, typer.Argument(help="The fetched packages, with the ImageNet weights.")],
    language: Annotated[Path, typer.Argument(help="The language model.")],
    output_dir: Annotated[Path, typer.Argument(help="Gets the tower, word_projection.safetensors and gate.json.")],
    steps: Annotated[
        int, typer.Option(help=f"Steps of {BATCH_SIZE} scenes and {BATCH_SIZE * SINGLES} single drawings.")
    ] = 600,
    gate_rows: Annotated[int | None, typer.Option(help="Measure on so many drawings of each maker.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of views and new weights.")] = 0,
) -> None:
    """Train, and measure on the makers that were not trained on."""
    set_seed(seed)
    table = pd.read_parquet(drawings)
    shown = table[table.maker.isin(SPLIT_MAKERS["train"])]
    named = shown.drop_duplicates("concept")
    tower = Lite0VisionModel(Lite0VisionConfig())
    load_imagenet_weights(tower, packages)
    frozen = measure(tower, table, gate_rows)
    tower.config.zoom = ZOOM
    model = NamingTower(tower, embed_names(language, named.label.tolist()))
    new = [parameter for name, parameter in model.named_parameters() if not name.startswith("tower.")]
    optimizer = torch.optim.AdamW(
        [{"params": model.tower.parameters(), "lr": 3e-4}, {"params": new, "lr": 1e-3}], weight_decay=0.02
    )
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, [5e-4, 2e-3], total_steps=steps + 1, pct_start=0.1)
    trainer = Trainer(
        model,
        TrainingArguments(
            str(output_dir),
            seed=seed,
            max_steps=steps,
            per_device_train_batch_size=BATCH_SIZE,
            logging_steps=10,
            save_steps=50,
            save_total_limit=1,
            remove_unused_columns=False,
            report_to=[],
        ),
        data_collator=collate,
        train_dataset=Views(shown, named.concept.tolist(), BATCH_SIZE * steps, seed),
        optimizers=(optimizer, scheduler),
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(output_dir))
    save_file(model.word_projection.state_dict(), output_dir / "word_projection.safetensors")
    model.tower.save_pretrained(output_dir)
    tuned = measure(model.tower, table, gate_rows)
    close_gate(output_dir, {"tuned": tuned, "frozen": frozen}, find_missed(tuned, frozen))


if __name__ == "__main__":
    typer.run(main)
