"""The sentence that says why: true of the verdict, the policy and the decision beside which it stands."""

import pytest
import torch

from safe_llava import SafetyPolicy
from safe_llava.demo.decision_reason import explain_decision
from safe_llava.models.safety_labels import RISK_TYPES, SAFETY_LEVELS, SAFETY_TYPES
from safe_llava.models.safety_verdict import SafetyVerdict
from safe_llava.models.separate_assessments import SeparateAssessments


def make_verdict(level: str, trusted: bool = True, novelty: float | None = None, **type_probs: float) -> SafetyVerdict:
    rest = (1 - sum(type_probs.values())) / (len(SAFETY_TYPES) - len(type_probs))
    levels = [0.97 if name == level else 0.01 for name in SAFETY_LEVELS]
    types = [type_probs.get(name, rest) for name in SAFETY_TYPES]
    yes = torch.tensor([True])
    logits = torch.tensor([levels]).log(), torch.tensor([types]).log()
    return SafetyVerdict(*logits, yes, yes & trusted, novelty=None if novelty is None else torch.tensor([novelty]))


@pytest.mark.parametrize(
    ("verdict", "changes", "reason"),
    [
        (make_verdict("none", privacy=0.9), {}, "The risk level is none."),
        (make_verdict("high", privacy=0.9), {}, "high, and privacy is at 90.0%, with the threshold at 50.0%."),
        (make_verdict("low", safe=0.9), {}, "no type that is on reaches its threshold, nor do they together (0.20"),
        (make_verdict("high", privacy=0.4, fairness=0.4), {}, "types below their thresholds add up to 1."),
        (make_verdict("low", privacy=0.9), {"actions": {"low": "answer"}}, "The policy answers at level low."),
        (make_verdict("high", privacy=0.9), {"types": {"privacy": {"enabled": False}}}, "no type that is on"),
        (make_verdict("high", trusted=False, privacy=0.9), {}, "cannot be trusted"),
        (make_verdict("none", novelty=1.5, safe=0.9), {}, "unlike those that the model was calibrated on."),
        (make_verdict("none", novelty=1.5, safe=0.9), {"unfamiliar": "assess"}, "The risk level is none."),
        (make_verdict("none", novelty=0.9, safe=0.9), {}, "The risk level is none."),
        (
            make_verdict("none", privacy=0.9),
            {"level_threshold": 0.4},
            "Some risk is at 3.0%, with the threshold at 40",
        ),
        (make_verdict("none", privacy=0.9), {"level_threshold": 0.02}, "The level is"),
        (
            make_verdict("high", trusted=False, privacy=0.9),
            {"types": {name: {"enabled": False} for name in RISK_TYPES}},
            "Every risk type is off",
        ),
    ],
)
def test_the_reason_is_that_of_the_decision(verdict, changes, reason):
    policy = SafetyPolicy.from_dict(changes)
    trust = bool(verdict.trusted[0] | verdict.unfamiliar[0]), bool(verdict.unfamiliar[0])
    decision = policy.decide(verdict.level_probs[0].tolist(), verdict.type_probs[0].tolist(), *trust)
    assert reason in explain_decision(verdict, policy, decision)


def test_text_alone_has_no_verdict():
    policy = SafetyPolicy()
    assert "no image" in explain_decision(None, policy, policy.decide([1.0, 0.0, 0.0, 0.0], [0.0] * 7))


def test_a_decision_that_rests_on_one_image_says_so():
    verdict, alone = make_verdict("high", politics=0.9), make_verdict("medium", privacy=0.8)
    verdict.separate = SeparateAssessments(
        torch.tensor([0, 0]),
        torch.tensor([-1, 1]),
        torch.cat([verdict.level_logits, alone.level_logits]),
        torch.cat([verdict.type_logits, alone.type_logits]),
    )
    policy = SafetyPolicy.from_dict({"types": {"politics": {"enabled": False}}})
    decision = policy.decide(alone.level_probs[0].tolist(), alone.type_probs[0].tolist())
    reason = explain_decision(verdict, policy, decision)
    assert reason.startswith("One of the images, assessed alone: The level is medium, and privacy is at 80.0%")


def test_the_reason_speaks_of_the_verdict_that_is_shown_where_others_say_the_same():
    verdict, whole = make_verdict("high", politics=0.9), make_verdict("high", politics=0.7)
    verdict.separate = SeparateAssessments(
        torch.tensor([0, 0]),
        torch.tensor([-1, 0]),
        torch.cat([whole.level_logits, verdict.level_logits]),
        torch.cat([whole.type_logits, verdict.type_logits]),
    )
    policy = SafetyPolicy()
    decision = policy.decide(verdict.level_probs[0].tolist(), verdict.type_probs[0].tolist())
    assert "politics is at 90.0%" in explain_decision(verdict, policy, decision)
