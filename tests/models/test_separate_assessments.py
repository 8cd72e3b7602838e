"""A row with several images: each is assessed alone as well, and the gravest of all verdicts decides."""

import copy

import pytest
import torch

from safe_llava import SafetyVerdict
from safe_llava.models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from safe_llava.models.separate_assessments import SeparateAssessments


HINT, ANSWER = "hint", "answer"


def logits(*rows: tuple[str, str]) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that say these levels and types."""
    levels, types = torch.zeros(len(rows), len(SAFETY_LEVELS)), torch.zeros(len(rows), len(SAFETY_TYPES))
    for index, (level, risk_type) in enumerate(rows):
        levels[index, SAFETY_LEVELS.index(level)] = types[index, SAFETY_TYPES.index(risk_type)] = 9.0
    return levels, types


@pytest.fixture
def several(prepare):
    return prepare((3, "Who is this?"))


def test_each_image_gets_the_verdict_that_it_gets_in_a_prompt_of_its_own(tiny_safe_llava, prepare, several):
    separate = tiny_safe_llava.assess(**several).separate
    assert separate.images.tolist() == [-1, 0, 1, 2]
    alone = prepare((1, "Who is this?"))
    for index, pixels in enumerate(several["pixel_values"]):
        verdict = tiny_safe_llava.assess(**{**alone, "pixel_values": pixels[None]})
        torch.testing.assert_close(verdict.level_logits[0], separate.level_logits[1 + index], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(verdict.type_logits[0], separate.type_logits[1 + index], atol=1e-5, rtol=1e-4)


def test_words_between_images_belong_to_the_question_of_each(tiny_safe_llava, tiny_processor, make_image):
    prompt = "<s>USER: <image>\nWho is this? <image>\nAnd here? ASSISTANT:"
    inputs = tiny_processor(
        text=prompt, images=[make_image(0), make_image(1)], add_special_tokens=False, return_tensors="pt"
    )
    other = tiny_processor(
        text=prompt.replace("Who", "What"),
        images=[make_image(0), make_image(1)],
        add_special_tokens=False,
        return_tensors="pt",
    )
    verdicts = [tiny_safe_llava.assess(**batch).separate.level_logits for batch in (inputs, other)]
    assert not torch.equal(*verdicts)


def test_rows_of_one_image_or_none_keep_the_logits_of_forward_to_the_last_bit(tiny_safe_llava, prepare):
    batch = prepare((1, "Who?"), (0, "Who is this?"), (2, "Which?"))
    verdict, forward = tiny_safe_llava.assess(**batch), tiny_safe_llava(**batch)
    assert torch.equal(verdict.level_logits[:2], forward.level_logits[:2])
    assert torch.equal(verdict.type_logits[:2], forward.type_logits[:2])
    assert set(verdict.separate.rows.tolist()) == {2}
    assert tiny_safe_llava.assess(**prepare((1, "Who?"))).separate is None


def test_the_whole_row_is_still_assessed_and_forward_gives_that(tiny_safe_llava, several):
    verdict, forward = tiny_safe_llava.assess(**several), tiny_safe_llava(**several)
    assert torch.equal(verdict.separate.level_logits[0], forward.level_logits[0])


def test_separate_assessments_take_one_pass_of_tower_and_projector_and_no_language_model(tiny_safe_llava, several):
    model, calls = copy.deepcopy(tiny_safe_llava), []
    assert model.explain_distrust() is None  # The first verdict would look into it.
    for module in (model.model.vision_tower, model.model.safety_modules.projector, model.model.language_model):
        module.register_forward_hook(lambda module, *_: calls.append(type(module).__name__))
    model.assess(**several, return_evidence=True)
    assert calls == ["CLIPVisionModel", "CAbstractor"]


@pytest.mark.parametrize("risky", [0, 7, 19])
def test_one_risky_image_among_clean_ones_is_found(risky, tiny_safe_llava, prepare):
    """The head attends to what it knows as risky only mildly, so that 19 clean images drown it in one softmax."""
    model, batch = copy.deepcopy(tiny_safe_llava), prepare((20, "Who is this?"))
    head, seen = model.model.safety_modules.head, batch["pixel_values"]
    seen[:] = seen[:1]
    seen[risky] = -seen[risky]
    head.level_classifier.weight.data *= 40
    whole = model(**batch).level_logits
    alone = model.assess(**batch).separate.level_logits[1:]
    assert (alone - alone[(risky + 1) % 20]).abs().amax(dim=1).argmax() == risky
    # A head that says "high" for nothing but what the risky image alone makes of it.
    middle = (alone[risky] + whole[0]) / 2
    direction = alone[risky] - whole[0]
    weight = head.level_classifier.weight.data.clone()
    bias = head.level_classifier.bias.data.clone()
    head.level_classifier.weight.data.zero_()
    head.level_classifier.bias.data[:3] = torch.tensor([0.02, 0.01, 0.0])
    head.level_classifier.weight.data[3] = direction @ weight * 100
    head.level_classifier.bias.data[3] = (direction @ (bias - middle)) * 100
    verdict = model.assess(**batch)
    assert verdict.levels == ["high"]
    assert model(**batch).level_logits.argmax() == 0
    assert verdict.separate.images[verdict.separate.find_gravest()].tolist() == [risky]


@pytest.mark.parametrize(
    ("assessments", "gravest"),
    [
        ([("none", "safe"), ("low", "privacy"), ("none", "safe")], 1),
        ([("low", "privacy"), ("high", "fairness"), ("medium", "privacy")], 1),
        ([("none", "safe"), ("high", "safe"), ("low", "privacy")], 2),
        ([("none", "safe"), ("none", "privacy"), ("medium", "safe")], 2),
    ],
    ids=["risky", "highest level", "a risk by level and type", "a level without a type"],
)
def test_the_gravest_assessment_decides(assessments, gravest):
    rows, images = torch.zeros(3, dtype=torch.long), torch.arange(3) - 1
    separate = SeparateAssessments(rows, images, *logits(*assessments))
    assert separate.find_gravest().nonzero().flatten().tolist() == [gravest]


def test_an_assessment_that_is_not_finite_decides_before_all(tiny_safe_llava, several):
    several["pixel_values"][1] = float("nan")
    verdict = tiny_safe_llava.assess(**several)
    assert not verdict.trusted.any()
    assert tiny_safe_llava.decide(verdict)[0].action == "refuse"


def test_what_the_policy_lets_pass_does_not_hide_what_it_does_not(tiny_safe_llava):
    """The gravest image is political, which this policy does not mind; the other is private."""
    separate = SeparateAssessments(
        torch.zeros(3, dtype=torch.long),
        torch.arange(3) - 1,
        *logits(("none", "safe"), ("high", "politics"), ("low", "privacy")),
    )
    trusted = torch.tensor([True])
    verdict = SafetyVerdict(*logits(("high", "politics")), trusted, trusted, separate=separate)
    policy = {"types": {"politics": {"enabled": False}}}
    decision = tiny_safe_llava.decide(verdict, policy)[0]
    assert (decision.action, decision.types) == ("hint", ("privacy",))
    assert tiny_safe_llava.decide(verdict, False)[0].action == "answer"


def test_a_temperature_holds_for_separate_assessments_too():
    separate = SeparateAssessments(torch.tensor([0]), torch.tensor([-1]), *logits(("low", "privacy")))
    trusted = torch.tensor([True])
    verdict = SafetyVerdict(*logits(("low", "privacy")), trusted, trusted, separate=separate)
    cooled = verdict.with_temperature(level=2.0, type=3.0)
    torch.testing.assert_close(cooled.separate.level_logits, separate.level_logits / 2.0)
    torch.testing.assert_close(cooled.separate.type_logits, separate.type_logits / 3.0)


def test_evidence_shows_the_image_that_decided_and_no_other(tiny_safe_llava, prepare):
    batch = prepare((3, "Who is this?"))
    verdict = tiny_safe_llava.assess(**batch, return_evidence=True)
    decided = verdict.separate.images[verdict.separate.find_gravest()].item()
    assert decided >= 0  # With this seed an image alone decides.
    alone = tiny_safe_llava.assess(
        **{**prepare((1, "Who is this?")), "pixel_values": batch["pixel_values"][decided][None]}, return_evidence=True
    )
    maps = verdict.evidence.patch_relevance[0]
    torch.testing.assert_close(maps[decided], alone.evidence.patch_relevance[0][0], atol=1e-5, rtol=1e-3)
    assert not maps[[index for index in range(3) if index != decided]].any()
    torch.testing.assert_close(verdict.evidence.lead, alone.evidence.lead, atol=1e-5, rtol=1e-4)
