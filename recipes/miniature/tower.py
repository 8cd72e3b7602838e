"""Phase 1 of the miniature's pre-training: the vision tower learns, patch by patch, what it looks at."""

import random

import torch
from torch import nn
from tqdm import tqdm
from transformers import CLIPVisionModel

from safe_llava.miniature.drawing import draw_scene
from safe_llava.miniature.questions import PICTOGRAM_NAMES
from safe_llava.miniature.scenes import (
    BACKGROUNDS,
    CAPTIONS,
    COLORS,
    GRID_SIZE,
    MAX_MARKS,
    SHAPES,
    Scene,
    sample_scene,
)


PICTOGRAMS = tuple(PICTOGRAM_NAMES)
PATCHES_PER_CELL = 2
SIGN_KINDS = (None, "risky", "look_alike")
CAPTION_SHARE = 0.3

TARGETS: dict[str, int] = {
    "shape": 1 + len(SHAPES),
    "color": 1 + len(COLORS),
    "pictogram": 1 + len(PICTOGRAMS),
    "marks": 1 + MAX_MARKS,
    "background": len(BACKGROUNDS),
    "count": 6,
    "caption": 1 + len(CAPTIONS),
}
"""What every patch is asked: its cell's shape, color, pictogram and caption (0 is none), and the whole image's
marks, background and number of shapes."""


SPARSE_TARGETS = ("shape", "color", "pictogram", "caption")
EMPTY_WEIGHT = 0.2


def sample_scenes(split: str, size: int, seed: int, any_look: float = 0.0) -> list[Scene]:
    """Draw scenes with and without signs and captions, a share `any_look` of them in made-up looks."""
    rng = random.Random(f"tower/{split}/{seed}")
    return [
        sample_scene(
            rng,
            split,
            rng.choice(SIGN_KINDS),
            words=CAPTIONS if rng.random() < CAPTION_SHARE else (),
            look="any" if rng.random() < any_look else None,
        )
        for _ in range(size)
    ]


def patch_labels(scene: Scene) -> torch.Tensor:
    """The right answers to `TARGETS`, shape (targets, patches)."""
    cells = torch.zeros(len(TARGETS), GRID_SIZE, GRID_SIZE, dtype=torch.long)
    for shape in scene.shapes:
        cells[0][shape.cell] = 1 + SHAPES.index(shape.kind)
        cells[1][shape.cell] = 1 + COLORS.index(shape.color)
    if scene.sign:
        for cell in scene.sign.cells:
            cells[1][cell] = 1 + COLORS.index(scene.sign.color)
            cells[2][cell] = 1 + PICTOGRAMS.index((scene.sign.safety_type, scene.sign.risky))
        cells[3] = scene.sign.marks
    cells[4] = BACKGROUNDS.index(scene.background)
    cells[5] = len(scene.shapes)
    if scene.caption:
        for cell in scene.caption.cells:
            cells[6][cell] = 1 + CAPTIONS.index(scene.caption.word)
    return cells.repeat_interleave(PATCHES_PER_CELL, 1).repeat_interleave(PATCHES_PER_CELL, 2).flatten(1)


def render(scenes: list[Scene], image_processor) -> torch.Tensor:
    """Pixel values of all scenes, shape (scenes, 3, height, width)."""
    chunks = [scenes[i : i + 1000] for i in range(0, len(scenes), 1000)]
    return torch.cat(
        [
            image_processor([draw_scene(scene) for scene in chunk], return_tensors="pt")["pixel_values"]
            for chunk in tqdm(chunks, desc="draw scenes", unit="k")
        ]
    )


class PatchReader(nn.Module):
    """Linear classifiers on the tower's penultimate layer, and on its pooled output so that the last layer learns."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.sizes = list(TARGETS.values())
        self.patches = nn.Linear(hidden_size, sum(self.sizes))
        self.pooled = nn.Linear(hidden_size, len(PICTOGRAMS) + 1)

    def forward(self, tower: CLIPVisionModel, pixels: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        output = tower(pixels, output_hidden_states=True)
        logits = self.patches(output.hidden_states[-2][:, 1:])
        return logits.transpose(1, 2).split(self.sizes, dim=1), self.pooled(output.pooler_output)

    def class_weights(self, target: str) -> torch.Tensor | None:
        """Most patches show no shape, no sign and no caption, which must not drown those that do."""
        if target not in SPARSE_TARGETS:
            return None
        return torch.tensor([EMPTY_WEIGHT] + [1.0] * (TARGETS[target] - 1))

    def loss(self, tower: CLIPVisionModel, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        logits, pooled = self(tower, pixels)
        dense = sum(
            nn.functional.cross_entropy(one, labels[:, i], weight=self.class_weights(name))
            for i, (name, one) in enumerate(zip(TARGETS, logits, strict=True))
        )
        return dense + 0.3 * nn.functional.cross_entropy(pooled, labels[:, 2].amax(1))


def jitter(pixels: torch.Tensor) -> torch.Tensor:
    """Change contrast and brightness of each channel a little."""
    shape = (len(pixels), 3, 1, 1)
    return pixels * (1 + 0.1 * torch.randn(shape)) + 0.1 * torch.randn(shape)


def train_tower(
    tower: CLIPVisionModel,
    pixels: torch.Tensor,
    labels: torch.Tensor,
    steps: int,
    batch_size: int,
    learning_rate: float,
) -> PatchReader:
    """
    Train the tower on dense labels.

    Args:
        tower (`CLIPVisionModel`): the model to train, in place.
        pixels (`torch.Tensor` of shape `(scenes, 3, height, width)`): the scenes.
        labels (`torch.LongTensor` of shape `(scenes, targets, patches)`): see [`patch_labels`].
        steps (`int`): number of optimizer steps.
        batch_size (`int`): scenes in a step.
        learning_rate (`float`): peak of the one-cycle schedule.

    Returns:
        [`PatchReader`]: the classifiers that were trained along.
    """
    reader = PatchReader(tower.config.hidden_size)
    parameters = [*tower.parameters(), *reader.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    tower.train()
    for step in (bar := tqdm(range(steps), desc="tower", mininterval=5)):
        rows = torch.randint(len(pixels), (batch_size,))
        loss = reader.loss(tower, jitter(pixels[rows]), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{loss.item():.3f}")
    tower.eval()
    return reader


@torch.no_grad()
def tower_accuracy(tower: CLIPVisionModel, reader: PatchReader, pixels: torch.Tensor, labels: torch.Tensor) -> dict:
    """Share of patches read rightly, by target."""
    logits = [
        torch.cat(parts) for parts in zip(*(reader(tower, chunk)[0] for chunk in pixels.split(500)), strict=True)
    ]
    return {name: (logits[i].argmax(1) == labels[:, i]).float().mean().item() for i, name in enumerate(TARGETS)}


@torch.no_grad()
def encode(tower: CLIPVisionModel, pixels: torch.Tensor) -> torch.Tensor:
    """Features that LLaVA's projector reads: penultimate layer, without the class token, (scenes, patches, hidden)."""
    return torch.cat(
        [tower(chunk, output_hidden_states=True).hidden_states[-2][:, 1:].half() for chunk in pixels.split(500)]
    )
