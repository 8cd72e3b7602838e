"""
Fits a projector to words: each cell of a scene is to become the mean word embedding of what is drawn there.

A squared error alone fits the mean of all names, which points at none of them. The cross-entropy over the names gives
the direction, and the squared error the length that the language model is used to.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from tqdm import trange

from .drawing_views import BACKGROUND, UNSURE
from .train_tower import TEMPERATURE, Views, collate


BATCH_SIZE = 384
"""Cells with a drawing in a step."""
BACKGROUND_SIZE = 64
"""Cells without one in a step, which become the mean of all names."""
BACKGROUND_SHARE = 0.25
"""Of the cells without a drawing so many are kept."""
FEATURE_DROPOUT = 0.3
SCENES_AT_ONCE = 16


@dataclass
class Cells:
    """`features` `(cells, width)` in half precision, and `names` `(cells,)`: what is drawn there, or `BACKGROUND`."""

    features: torch.Tensor
    names: torch.Tensor

    def where(self, kept: torch.Tensor) -> "Cells":
        """Those at some places, or where a mask holds."""
        return Cells(self.features[kept], self.names[kept])

    def sample(self, count: int) -> "Cells":
        """So many, drawn with replacement."""
        return self.where(torch.randint(len(self.names), (count,)))


@torch.inference_mode()
def read_cells(tower: nn.Module, views: Views) -> Cells:
    """What a frozen tower sees in the cells of all scenes, without those that a drawing covers in part."""
    found: list[Cells] = []
    for start in trange(0, len(views), SCENES_AT_ONCE, desc="scenes"):
        batch = collate([views[row] for row in range(start, min(start + SCENES_AT_ONCE, len(views)))])
        features, names = tower(batch["scene"]).last_hidden_state.flatten(0, 1).half(), batch["cells"].flatten()
        kept = torch.rand(len(names)) < torch.where(names == BACKGROUND, BACKGROUND_SHARE, 1.0)
        found.append(Cells(features, names).where(kept & (names != UNSURE)))
    return Cells(torch.cat([part.features for part in found]), torch.cat([part.names for part in found]))


def fit_projector(projector: nn.Module, cells: Cells, word_embeddings: torch.Tensor, steps: int) -> None:
    """
    Fits a projector in place.

    Args:
        projector ([`~torch.nn.Module`]): from the tower's width to that of the word embeddings.
        cells ([`Cells`]): what the tower sees.
        word_embeddings (`torch.FloatTensor` of shape `(names, width)`): what each drawing's cells should become.
        steps (`int`): steps of `BATCH_SIZE` cells with a drawing.
    """
    drawn, empty = cells.where(cells.names != BACKGROUND), cells.where(cells.names == BACKGROUND)
    mean, scale = word_embeddings.mean(0), word_embeddings.std()
    optimizer = torch.optim.AdamW(projector.parameters(), weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps + 1, pct_start=0.1)
    for _ in (shown := trange(steps, desc="projector")):
        named, background = drawn.sample(BATCH_SIZE), empty.sample(BACKGROUND_SIZE)
        features = torch.cat([named.features, background.features]).float()
        projected = projector(F.dropout(features, FEATURE_DROPOUT))
        targets = torch.cat([word_embeddings[named.names], mean.expand(BACKGROUND_SIZE, -1)])
        length = ((projected - targets) / scale).pow(2).mean()
        direction = F.cross_entropy(compare_names(projected[:BATCH_SIZE], word_embeddings) / TEMPERATURE, named.names)
        (length + direction).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        shown.set_postfix(loss=f"{direction.item():.3f}")


@torch.inference_mode()
def find_named(projector: nn.Module, cells: Cells, word_embeddings: torch.Tensor) -> list[bool]:
    """Of each cell with a drawing whether its own name is the nearest."""
    drawn = cells.where(cells.names != BACKGROUND)
    similarity = compare_names(projector(drawn.features.float()), word_embeddings)
    return (similarity.argmax(-1) == drawn.names).tolist()


def compare_names(projected: torch.Tensor, word_embeddings: torch.Tensor) -> torch.Tensor:
    """Cosine to each name around the mean of all, `(cells, names)`."""
    mean = word_embeddings.mean(0)
    return F.normalize(projected - mean, dim=-1) @ F.normalize(word_embeddings - mean, dim=-1).T
