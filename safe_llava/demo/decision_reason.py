"""Why a policy decides what it does, in a sentence."""

from ..models.safety_labels import DISTRUST, RISK_TYPES, SAFETY_LEVELS
from ..models.safety_policy import SafetyDecision, SafetyPolicy
from ..models.safety_verdict import SafetyVerdict
from ..pages.risk_words import RISK_WORDS


def explain_decision(verdict: SafetyVerdict | None, policy: SafetyPolicy, decision: SafetyDecision) -> str:
    """
    Args:
        verdict ([`SafetyVerdict`], *optional*): what was found in a chat; `None` where there was no image.
        policy ([`SafetyPolicy`]): the policy.
        decision ([`SafetyDecision`]): what it made of the first row of the verdict.

    Returns:
        `str`: a sentence, or two.
    """
    if verdict is None:
        return "There is no image to assess. Text alone is left to the language model's own alignment."
    if not any(rule["enabled"] for rule in policy.types.values()):
        return "Every risk type is off, so nothing acts on the verdict."
    distrust = verdict.distrust[0]
    if distrust is not None and (distrust != "unfamiliar" or policy.unfamiliar == "refuse"):
        return f"The verdict cannot be trusted, so the image counts as high risk: {DISTRUST[distrust]}."
    level_probs, type_probs, alone = verdict.level_probs[0].tolist(), verdict.type_probs[0].tolist(), ""
    if verdict.separate is not None and policy.decide(level_probs, type_probs) != decision:
        # It rests on another assessment than the gravest, which is shown.
        for image, (row, its_levels, its_types) in zip(verdict.separate.images.tolist(), verdict.separate.to_rows()):
            if row == 0 and policy.decide(its_levels, its_types) == decision:
                level_probs, type_probs = its_levels, its_types
                alone = "" if image < 0 else "One of the images, assessed alone: "
                break
    return alone + _explain(level_probs, dict(zip(RISK_TYPES, type_probs)), policy, decision)


def sum_quotients(type_probs: dict[str, float], policy: SafetyPolicy) -> float:
    """What the types that are on come to together, in parts of their thresholds: at 1 they are risky."""
    return sum(type_probs[name] / rule["threshold"] for name, rule in policy.types.items() if rule["enabled"])


def _explain(
    level_probs: list[float], type_probs: dict[str, float], policy: SafetyPolicy, decision: SafetyDecision
) -> str:
    level = SAFETY_LEVELS[policy.find_level(level_probs)]
    if level == "none":
        if policy.level_threshold is None:
            return "The risk level is none."
        return f"Some risk is at {sum(level_probs[1:]):.1%}, with the threshold at {policy.level_threshold:.1%}."
    together = sum_quotients(type_probs, policy)
    if together < 1:
        return (
            f"The level is {level}, but no type that is on reaches its threshold, nor do they together "
            f"({together:.2f} of 1)."
        )
    if decision.action == "answer":
        return f"The policy answers at level {level}."
    reasons = [
        f"{RISK_WORDS[name]} is at {type_probs[name]:.1%}, with the threshold at {policy.types[name]['threshold']:.1%}"
        for name in decision.types
    ]
    if all(type_probs[name] < policy.types[name]["threshold"] for name in decision.types):
        reasons.append(f"types below their thresholds add up to {together:.2f} of 1")
    return f"The level is {level}, and {'; '.join(reasons)}."
