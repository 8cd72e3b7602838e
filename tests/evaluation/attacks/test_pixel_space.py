"""What an attack on pixels may change, and what it is told to drive down."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import BatchFeature

from safe_llava import SafetyPolicy
from safe_llava.evaluation.attacks.adaptive_loss import AdaptiveLoss, measure_strictness
from safe_llava.evaluation.attacks.pixel_space import PixelSpace
from safe_llava.evaluation.attacks.projected_gradient import _DRAWS, _NOISE_STD, _differentiate, attack_pixels
from safe_llava.models.safety_familiarity import Familiarity, encode_numbers
from safe_llava.models.safety_verdict import SafetyVerdict
from safe_llava.models.separate_assessments import SeparateAssessments
from tests.conftest import IMAGE_SIZE
from tests.evaluation.attacks.conftest import REFUSE_ALL, WIDTH, PatchTower


def test_changed_images_reach_the_model_as_they_were_changed(stubborn, make_row, make_image):
    rows = [make_row(images=(make_image(1), make_image(2, 80, 50))), make_row()]
    space = PixelSpace(stubborn, rows)
    changed = (space.pixels + 3 * torch.randn_like(space.pixels)).round().clamp(0, 255)
    asked = stubborn.encode(space.to_rows(changed))["pixel_values"]
    torch.testing.assert_close(asked, space.normalise(changed), atol=1e-3, rtol=0)


@pytest.mark.parametrize("epsilon", [4, 8, 16])
def test_no_pixel_goes_further_than_it_may_nor_beyond_white(epsilon, stubborn, make_row):
    row = make_row(250)
    (reply,) = attack_pixels(stubborn, [row], epsilon, steps=3, restarts=2)
    before, after = (np.asarray(image, dtype=int) for image in (row.images[0], reply.row.images[0]))
    assert after.shape == (IMAGE_SIZE, IMAGE_SIZE, 3)
    assert 0 < np.abs(after - before).max() <= epsilon


def test_a_row_is_attacked_alike_whatever_rows_stand_beside_it(stubborn, make_row, make_image):
    row, other = make_row(), make_row(images=(make_image(1),))
    alone, beside = (attack_pixels(stubborn, rows, 8, steps=2, restarts=1)[-1] for rows in ([row], [other, row]))
    differences = np.asarray(alone.row.images[0], dtype=int) - np.asarray(beside.row.images[0], dtype=int)
    assert np.abs(differences).max() <= 1  # sums in another order round otherwise


def test_a_processor_that_does_more_with_images_is_refused(stubborn, make_row, monkeypatch):
    def encode_tiled(self, rows):
        return BatchFeature({"pixel_values": torch.zeros(1, 3, 3, IMAGE_SIZE, IMAGE_SIZE)})

    monkeypatch.setattr(type(stubborn), "encode", encode_tiled)
    with pytest.raises(ValueError, match="does more with an image"):
        PixelSpace(stubborn, [make_row()])


@pytest.mark.parametrize("unfamiliar", ["refuse", "assess"])
def test_a_descent_is_told_to_stay_familiar_where_the_policy_refuses_what_is_not(
    unfamiliar, stubborn, make_row, monkeypatch
):
    numbers = encode_numbers(mean=np.zeros(WIDTH), variances=np.ones(1), axes=np.eye(1, WIDTH))
    record = {"weights": "", "share": 0.9, "rows": {}, "rest": 1e-3, "threshold": 1.0, **numbers}
    monkeypatch.setattr(stubborn.model.config, "safety_policy", {**REFUSE_ALL, "unfamiliar": unfamiliar})
    monkeypatch.setattr(type(stubborn.model), "_resolve_safety_policy", lambda self, policy: self.safety_policy)
    rows = [make_row()]
    space = PixelSpace(stubborn, rows)
    loss, pixels = AdaptiveLoss(stubborn, rows, space.inputs), space.normalise(space.pixels)
    without = loss(pixels)
    monkeypatch.setattr(stubborn.model.config, "safety_familiarity", record)
    novelty = Familiarity.from_record(record).measure(PatchTower()(pixels).hidden_states[-2][:, 1:])
    expected = float(novelty.log() + 0.1) if unfamiliar == "refuse" else 0.0
    assert float(loss(pixels) - without) == pytest.approx(expected, abs=1e-4)
    assert novelty > 1


POLICIES = {
    "default": {},
    "one type off": {"types": {"privacy": {"enabled": False}}},
    "all types off": {"types": {name: {"enabled": False} for name in SafetyPolicy().types}},
    "high threshold": {"types": {"illegal_risk": {"threshold": 0.9}}},
    "low is answered": {"actions": {"low": "answer", "high": "refuse"}},
    "all is answered": {"actions": dict.fromkeys(("low", "medium", "high"), "answer")},
    "several": {"several_risks": "all"},
    "low threshold of the level": {"level_threshold": 0.2},
    "high threshold of the level": {"level_threshold": 0.9},
    "threshold of the level, low is answered": {"level_threshold": 0.4, "actions": {"low": "answer"}},
}


@pytest.mark.parametrize("changes", POLICIES.values(), ids=POLICIES)
@pytest.mark.parametrize("has_several_images", [False, True])
def test_a_row_is_strict_exactly_where_the_policy_acts(changes, has_several_images, stubborn):
    policy, rows = SafetyPolicy.from_dict(changes), 200
    generator = torch.Generator().manual_seed(0)
    level, risk_type = (2 * torch.randn(rows, number, generator=generator) for number in (4, 7))
    present = torch.ones(rows, dtype=torch.bool)
    separate = None
    if has_several_images:
        each = [2 * torch.randn(rows, number, generator=generator) for number in (4, 7)]
        separate = SeparateAssessments(torch.arange(rows), torch.arange(rows), *each)
    verdict = SafetyVerdict(level, risk_type, present, present, separate=separate)
    acts = [decision.action != "answer" for decision in type(stubborn.model).decide(WithPolicy(policy), verdict)]
    assert (measure_strictness(verdict, policy) > 0).tolist() == acts


class WithPolicy:
    """What `decide` needs of a model."""

    def __init__(self, policy: SafetyPolicy):
        self.policy = policy

    def _resolve_safety_policy(self, safety_policy):
        return self.policy


def test_an_expectation_has_the_mean_loss_and_gradient_of_its_noisy_copies():
    """With a loss that is not linear, so that the copies differ."""

    def loss(pixels):
        return (pixels / 100).pow(3).flatten(1).sum(1)

    pixels = torch.full((2, 3, 4, 4), 100.0)
    space = SimpleNamespace(normalise=lambda each: each)
    losses, gradient = _differentiate(loss, space, pixels, torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(0)
    copies = [pixels + _NOISE_STD * torch.randn(pixels.shape, generator=generator) for _ in range(_DRAWS)]
    torch.testing.assert_close(losses, torch.stack([loss(each) for each in copies]).mean(0))
    torch.testing.assert_close(gradient, torch.stack([3 * each.pow(2) / 100**3 for each in copies]).mean(0))
