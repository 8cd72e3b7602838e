"""Images that are unlike those of a calibration: how they are known, and statistics that are not this model's."""

import copy

import numpy as np
import pytest
import torch

from safe_llava import SafetyPolicy, SafetyVerdict
from safe_llava.models.safety_familiarity import Familiarity, encode_numbers
from safe_llava.models.safety_guarantee import digest_decisions, guarantee_in_force, name_weights
from safe_llava.models.safety_trust import record_training
from safe_llava.training.stages import train_only_safety_modules


REFUSED = ("refuse", "high")


@pytest.fixture
def model(discerning_safe_llava):
    return copy.deepcopy(discerning_safe_llava)


@pytest.fixture
def ask(tiny_processor, make_image, strange_image):
    """`ask(model, *rows)`: the verdict on rows of images, each "noise" or "strange", and the decisions."""

    def ask(model, *rows: list[str], policy: dict | None = None):
        images = [[strange_image if kind == "strange" else make_image(7) for kind in row] for row in rows]
        texts = ["<image> " * len(row) + "What ?" for row in rows]
        inputs = tiny_processor(images=images if any(images) else None, text=texts, padding=True, return_tensors="pt")
        verdict = model.assess(**inputs, safety_policy=policy)
        return verdict, model.decide(verdict, policy)

    return ask


def test_distances_are_those_of_the_whole_covariance():
    drawn = np.random.default_rng(0)
    axes = np.linalg.qr(drawn.normal(size=(6, 6)))[0].T
    variances = np.array([9.0, 4.0, 2.0, 0.5, 0.5, 0.5])
    mean = drawn.normal(size=6)
    record = {"weights": "", "share": 0.9, "rows": {}, "rest": 0.5, "threshold": 2.0}
    record |= encode_numbers(mean=mean, variances=variances[:3], axes=axes[:3])
    images = drawn.normal(size=(5, 4, 6))
    centered = images.mean(axis=1) - mean
    whole = np.einsum("nd,de,ne->n", centered, axes.T @ np.diag(1 / variances) @ axes, centered)
    found = Familiarity.from_record(record).measure(torch.tensor(images))
    torch.testing.assert_close(found, torch.tensor(whole / 2, dtype=torch.float32), rtol=5e-3, atol=1e-4)


def test_a_row_is_as_unfamiliar_as_its_strangest_image(model, ask):
    verdict, decisions = ask(model, ["noise"], ["noise", "strange"], [], ["noise", "noise"])
    assert verdict.distrust == [None, "unfamiliar", None, None]
    assert verdict.levels == ["none", "high", "none", "none"]
    assert [decision.action for decision in decisions] == ["answer", "refuse", "answer", "answer"]
    assert verdict.to_list()[1]["distrust"] == "unfamiliar"


def test_batches_change_nothing(model, ask):
    together, _ = ask(model, ["noise"], ["strange"])
    alone = torch.cat([ask(model, row)[0].novelty for row in (["noise"], ["strange"])])
    torch.testing.assert_close(together.novelty, alone, rtol=1e-4, atol=1e-5)


def test_without_statistics_every_image_is_familiar(tiny_safe_llava, ask):
    verdict, _ = ask(tiny_safe_llava, ["strange"])
    assert verdict.novelty is None
    assert verdict.trusted.all()


def test_half_precision_knows_the_same_images(model, ask):
    verdict, _ = ask(model.to(torch.bfloat16), ["noise"], ["strange"])
    assert verdict.distrust == [None, "unfamiliar"]


def test_a_policy_may_go_by_level_and_types_all_the_same(model, ask, tiny_processor):
    model.set_safety_policy(SafetyPolicy(unfamiliar="assess"), tiny_processor)
    verdict, decisions = ask(model, ["strange"])
    assert decisions[0].action == "answer"
    assert not verdict.trusted.any()


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_a_temperature_changes_nothing(model, ask, temperature):
    verdict, _ = ask(model, ["noise"], ["strange"])
    assert verdict.with_temperature(temperature, temperature).distrust == verdict.distrust


@pytest.mark.parametrize("level_logits", [[0.0] * 4, [torch.nan, 1.0, 0.0, 0.0]])
def test_a_policy_overlooks_no_other_reason(level_logits, model):
    one = torch.tensor([True])
    verdict = SafetyVerdict(torch.tensor([level_logits]), torch.eye(7)[:1], one, one, novelty=torch.tensor([9.0]))
    (decision,) = model.decide(verdict, {"unfamiliar": "assess"})
    assert verdict.distrust == ["undecided"]
    assert (decision.action, decision.level) == REFUSED


def test_a_model_that_is_not_trusted_says_so_first(model, ask):
    with torch.no_grad():
        model.model.safety_modules.head.key_layer.weight.add_(1.0)
    verdict, decisions = ask(model, ["noise"], ["strange"], policy={"unfamiliar": "assess"})
    assert verdict.distrust == ["model", "model"]
    assert {(decision.action, decision.level) for decision in decisions} == {REFUSED}


def damage(record: dict, name: str, value: object) -> dict:
    return {**record, name: value}


NUMBERS = encode_numbers(mean=np.full(32, np.nan), variances=-np.ones(4), axes=np.zeros((4, 8)))
DAMAGES = {
    "other weights": ("weights", "0" * 64),
    "a mean that is no number": ("mean", NUMBERS["mean"]),
    "a variance below 0": ("variances", NUMBERS["variances"]),
    "directions of another width": ("axes", NUMBERS["axes"]),
    "no base64": ("axes", "?"),
    "a threshold of 0": ("threshold", 0.0),
    "a threshold that is no number": ("threshold", float("nan")),
    "no threshold": ("threshold", None),
    "a threshold beyond all floats": ("threshold", 10**400),
    "a field more": ("extra", 1),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_with_statistics_of_others_or_damaged_ones_nothing_is_trusted(kind, model, ask, tmp_path):
    model.config.safety_familiarity = damage(model.config.safety_familiarity, *DAMAGES[kind])
    verdict, decisions = ask(model, ["noise"])
    assert "knows familiar images" in model.explain_distrust()
    assert verdict.distrust == ["model"]
    assert (decisions[0].action, decisions[0].level) == REFUSED


def test_stage_1_begins_without(model):
    train_only_safety_modules(model)
    assert model.config.safety_familiarity is None


def test_a_training_that_changes_weights_takes_the_statistics_away(model):
    record_training(model)
    assert model.config.safety_familiarity is not None
    with torch.no_grad():
        model.model.safety_modules.head.key_layer.weight.add_(1.0)
    record_training(model)
    assert model.config.safety_familiarity is None


def test_a_field_that_is_changed_in_place_counts_at_once(model, ask):
    verdict, _ = ask(model, ["strange"])
    model.config.safety_familiarity["threshold"] *= 100
    torch.testing.assert_close(ask(model, ["strange"])[0].novelty, verdict.novelty / 100)
    model.config.safety_familiarity["weights"] = "0" * 64
    assert ask(model, ["strange"])[0].distrust == ["model"]


def test_a_distance_has_a_gradient_behind_what_an_inference_has_kept(model, ask):
    with torch.inference_mode():
        ask(model, ["noise"])
    patches = torch.zeros(1, 25, 32, requires_grad=True)
    model._familiarity[1].measure(patches).sum().backward()
    assert patches.grad.isfinite().all()


def test_a_promise_stands_for_the_statistics_that_it_was_tested_with(model, tiny_processor):
    fields = SafetyPolicy().to_dict()
    promise = {"promises": {}, "confidence": 0.9, "rows": {}, "decisions": digest_decisions(fields)}
    known, model.config.safety_familiarity = model.config.safety_familiarity, None
    names = name_weights(model.config)
    model.config.safety_familiarity = known
    own = name_weights(model.config)
    model.set_safety_policy(fields | {"guarantee": {**promise, "weights": own[0]}}, tiny_processor)
    assert guarantee_in_force(model.config) is not None
    for changed in (None, {**known, "threshold": 2 * known["threshold"]}):
        model.config.safety_familiarity = changed
        assert guarantee_in_force(model.config) is None
    model.config.safety_familiarity = known
    with pytest.raises(ValueError, match="learned which images are familiar"):
        model.set_safety_policy(fields | {"guarantee": {**promise, "weights": names[0]}}, tiny_processor)
