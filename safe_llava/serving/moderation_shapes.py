"""Verdicts in the form of OpenAI's moderation results, with the six risk types as categories."""

from typing import Any

from ..models.safety_labels import RISK_TYPES
from .guard_pass import Assessment


NOT_ASSESSED = "There is no image, and text alone is not assessed here."


def moderation_result(assessment: Assessment, input_types: list[str], is_enforced: bool = True) -> dict[str, Any]:
    """
    One result.

    Args:
        assessment ([`Assessment`]): what was found.
        input_types (`list[str]`): "image", and "text" where the verdict also rests on the client's words.
        is_enforced (`bool`, *optional*, defaults to `True`): whether the policy's action is what happens.

    Returns:
        `dict`: the four fields of OpenAI, and ours. Without an image, `assessed` is false and there is no score, for
        none was made; where the verdict cannot be trusted, every type that is on is flagged, without scores either.
    """
    verdict, decision = assessment.verdict, assessment.decision
    if verdict is None:
        return {
            "flagged": None,
            "categories": {},
            "category_scores": {},
            "category_applied_input_types": {},
            "assessed": False,
            "reason": NOT_ASSESSED,
        }
    scores = {name: verdict["type_probs"][name] for name in RISK_TYPES} if verdict["trusted"] else {}
    return {
        "flagged": decision.action != "answer",
        "categories": {name: name in decision.types for name in RISK_TYPES},
        "category_scores": scores,
        "category_applied_input_types": dict.fromkeys(RISK_TYPES, input_types),
        "assessed": True,
        "trusted": verdict["trusted"],
        "distrust": verdict["distrust"],
        "level": verdict["level"],
        "level_scores": verdict["level_probs"] if verdict["trusted"] else {},
        "action": decision.action,
        "enforced": is_enforced,
        "policy_version": assessment.in_force.version,
    }


def chat_moderation(result: dict[str, Any], model: str) -> dict[str, Any]:
    """The field `moderation` of a chat completion."""
    not_assessed = {"type": "error", "code": "not_assessed"}
    if result["assessed"]:
        results = [{"type": "moderation_result", "model": model, **result}]
        found: dict[str, Any] = {"type": "moderation_results", "model": model, "results": results}
    else:
        found = {**not_assessed, "message": result["reason"]}
    return {"input": found, "output": {**not_assessed, "message": "Answers are not assessed."}}
