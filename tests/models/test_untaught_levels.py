"""A risk whose level nobody taught counts as the next higher level that somebody did."""

import copy

import pytest
import torch

from safe_llava.models.safety_head import raise_untaught_levels
from safe_llava.models.safety_labels import SAFETY_LEVELS
from safe_llava.models.safety_trust import record_training


LOGITS = torch.tensor([[0.4, 0.3, 0.2, 0.1], [0.1, 0.3, 0.2, 0.4], [0.7, 0.1, 0.1, 0.1]]).log()


def record(*taught):
    return {"rows": {"level": {name: 5 if name in taught else 0 for name in SAFETY_LEVELS}}}


@pytest.mark.parametrize(
    ("taught", "expected"),
    [
        (["none"], [0.4, 0, 0, 0.6]),
        (["none", "high"], [0.4, 0, 0, 0.6]),
        (["none", "low"], [0.4, 0.3, 0, 0.3]),
        (["none", "medium"], [0.4, 0, 0.5, 0.1]),
        (["none", "low", "high"], [0.4, 0.3, 0, 0.3]),
        (["none", "medium", "high"], [0.4, 0, 0.5, 0.1]),
    ],
)
def test_their_probability_goes_up(taught, expected):
    raised = raise_untaught_levels(LOGITS, record(*taught))
    torch.testing.assert_close(raised.softmax(dim=1)[0], torch.tensor(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("training", [None, {}, {"rows": None}, record("none", "low", "medium", "high")])
def test_where_every_level_was_taught_or_nobody_counted_nothing_changes(training):
    assert raise_untaught_levels(LOGITS, training) is LOGITS


def test_no_temperature_makes_them_infinite():
    assert (raise_untaught_levels(LOGITS * 100, record("none")) / 0.01).isfinite().all()


@pytest.mark.parametrize("images", [1, 3])
def test_a_verdict_has_no_level_that_nobody_taught(images, alarmed_safe_llava, tiny_processor, make_image):
    model = copy.deepcopy(alarmed_safe_llava)
    model.config.safety_training = {**model.config.safety_training, **record("none")}
    text = "<image> " * images + "What ?"
    inputs = tiny_processor(images=[make_image(seed) for seed in range(images)], text=text, return_tensors="pt")
    verdict = model.assess(**inputs)
    assert verdict.level_probs[:, 1:3].max() < 1e-6
    assert verdict.levels == ["high"]


def test_a_dead_head_stays_untrusted(tiny_safe_llava, tiny_processor, make_image):
    model = copy.deepcopy(tiny_safe_llava)
    classifier = model.model.safety_modules.head.level_classifier
    torch.nn.init.zeros_(classifier.weight)
    torch.nn.init.zeros_(classifier.bias)
    record_training(model, **record("none"))
    inputs = tiny_processor(images=[make_image(0)], text="<image> What ?", return_tensors="pt")
    assert not model.assess(**inputs).trusted.any()
