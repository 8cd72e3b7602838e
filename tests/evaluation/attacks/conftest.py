"""Models that were weakened on purpose: their heads rest on one thing alone, which the test chooses."""

import copy
import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from safe_llava import SafetyPolicy
from safe_llava.answer_scoring import AnswerGrammar, Manner
from safe_llava.evaluation.attacks.attack_row import AttackRow
from safe_llava.evaluation.attacks.attack_target import AttackTarget
from safe_llava.miniature.miniature_world import MINIATURE_WORLD
from safe_llava.models.safety_labels import RISK_LEVELS, RISK_TYPES, SAFETY_LEVELS
from tests.conftest import IMAGE_SIZE, PATCH_SIZE


WIDTH = 32
SHARPNESS = 20.0
REFUSAL = "No."
REFUSE_ALL = {"actions": dict.fromkeys(RISK_LEVELS, "refuse"), "refusals": dict.fromkeys(RISK_TYPES, REFUSAL)}

Score = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""How risky each row is, from `(rows, patches, width)` of its images' mean and `(rows, width)` of its text's mean."""


class PatchTower(nn.Module):
    """Its features say of each patch its mean and its spread. What its layers 0 and 1 say is nothing."""

    dtype = torch.float32

    def forward(self, pixel_values, **kwargs):
        patches = F.unfold(pixel_values, PATCH_SIZE, stride=PATCH_SIZE).transpose(1, 2)
        said = torch.stack([patches.mean(dim=-1), patches.std(dim=-1)], dim=-1)
        said = F.pad(said, (0, WIDTH - 2, 1, 0))  # and a CLS token in front
        states = tuple(gain * said for gain in (0.0, 0.0, 1.0, 1.0))
        return BaseModelOutputWithPooling(last_hidden_state=states[-1], hidden_states=states)


class AsItIs(nn.Module):
    def forward(self, features, grid):
        return features


class WeakHead(nn.Module):
    """Finds an illegal act of high risk in rows with a score above 0, reading the mean of all images as one."""

    def __init__(self, score: Score):
        super().__init__()
        self.score = score

    def forward(self, text_embeds, text_mask, safety_tokens, features, image_rows):
        shares = F.one_hot(image_rows, len(text_embeds)).T.float()
        images = torch.einsum("rn,npw->rpw", shares / shares.sum(dim=1, keepdim=True), features)
        mask = text_mask.unsqueeze(-1).float()
        return self.say(self.score(images, (text_embeds * mask).sum(dim=1) / mask.sum(dim=1)))

    def assess_each(self, text_embeds, text_mask, safety_tokens, features, image_rows, tile_images, images):
        return self.say(torch.full((len(images),), -1.0))  # alone, no image is risky to it

    def say(self, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores = SHARPNESS * scores
        level, risk_type = ([torch.full_like(scores, -9.0)] * number for number in (4, 7))
        level[0], level[3] = -scores, scores
        risk_type[1], risk_type[6] = scores, -scores
        return torch.stack(level, dim=-1), torch.stack(risk_type, dim=-1)


@pytest.fixture(scope="session")
def refusing_model(tiny_safe_llava, tiny_processor):
    """The tiny model with a tower that can be followed, and a policy that refuses all risk."""
    model = copy.deepcopy(tiny_safe_llava).requires_grad_(False)
    model.model.vision_tower = PatchTower()
    model.model.safety_modules.projector = AsItIs()
    model.explain_distrust = lambda: None
    model.set_safety_policy(SafetyPolicy.from_dict(REFUSE_ALL), tiny_processor)
    return model


@pytest.fixture(scope="session")
def refusals():
    """The grammar of a world in which what the policy says is a refusal, and all else is not."""

    def read_manner(answer: str) -> Manner:
        return Manner.REFUSAL if answer == REFUSAL else Manner.PLAIN

    return AnswerGrammar(read_manner, dict.fromkeys(SAFETY_LEVELS, frozenset({Manner.REFUSAL})), str.__eq__)


@pytest.fixture
def weaken(refusing_model, tiny_processor, refusals):
    """`weaken(score)`: the model as a target, its head resting on a score of the test's."""

    def build(score: Score) -> AttackTarget:
        refusing_model.model.safety_modules.head = WeakHead(score)
        return AttackTarget(refusing_model, tiny_processor, refusals, max_new_tokens=8)

    return build


@pytest.fixture
def weaken_between(weaken):
    """`weaken_between(before, after)`: a head whose bound lies halfway between a row and what became of it."""

    def build(before: AttackRow, after: AttackRow) -> AttackTarget:
        read: list[torch.Tensor] = []

        def listen(images: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
            read.append(torch.cat([images.flatten(1), text], dim=1))
            return torch.ones(len(text))

        target = weaken(listen)
        for row in (before, after):
            target.ask([row])
        first, second = read
        direction = (first - second) / (first - second).norm().clamp(min=1e-9)
        middle = (first + second) / 2

        def score(images: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
            return ((torch.cat([images.flatten(1), text], dim=1) - middle) * direction).sum(dim=1)

        return weaken(score)

    return build


@pytest.fixture
def stubborn(weaken):
    """A target whose head finds a risk whatever it reads."""
    return weaken(lambda images, text: 1.0 + 0.0 * images.sum(dim=(1, 2)))


@pytest.fixture
def make_row():
    """`make_row(shade)`: a row about an image with a gray half and some marks, unlike itself from every side."""
    numbers = itertools.count()

    def make(shade: int = 128, kind: str = "risky", **changes) -> AttackRow:
        image = Image.new("RGB", (IMAGE_SIZE, IMAGE_SIZE), (shade, shade, shade))
        image.paste((40, 60, 90), (3, 2, 13, 9))
        image.paste((220, 200, 30), (17, 14, 20, 28))
        row = AttackRow(
            key=f"row{next(numbers)}",
            kind=kind,
            messages=({"role": "user", "content": "Who is this?"},),
            images=(image,),
            safety_level=3,
            safety_type=1,
            target="This is in the red circle.",
        )
        return replace(row, **changes)

    return make


@pytest.fixture
def drawn_world():
    """The miniature's world, whose rows any model can be asked."""
    return MINIATURE_WORLD
