"""The one look at the images: their features, the verdict and the policy's decision, for all prompts that wait."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..guards.assessing_guard import AssessingGuard
from ..models.array_verdict import Separate
from ..models.encoded_prompt import EncodedPrompt
from ..models.safety_policy import SafetyDecision
from .policy_holder import PolicyInForce


@dataclass(frozen=True)
class GuardRequest:
    """
    A prompt with images.

    Args:
        prompt ([`EncodedPrompt`]): the prompt.
        in_force ([`PolicyInForce`]): the policy of this request.
        keeps_features (`bool`): whether an answer may follow, which reads the images' features.
    """

    prompt: EncodedPrompt
    in_force: PolicyInForce
    keeps_features: bool = False


@dataclass(frozen=True)
class Assessment:
    """
    What was found in a prompt, and what the policy makes of it.

    Args:
        in_force ([`PolicyInForce`]): the policy.
        decision ([`SafetyDecision`]): what it decides.
        verdict (`dict`, *optional*): a row of [`SafetyVerdict.to_list`]; `None` where there was no image to assess.
        logits (`dict`, *optional*): `level_logits` and `type_logits` at temperature 1, for calibration; with several
            images also `separate_level_logits` and `separate_type_logits`, of each assessment.
        features ([`SafeLlavaImageFeatures`], *optional*): the images as the language model reads them.
    """

    in_force: PolicyInForce
    decision: SafetyDecision
    verdict: dict[str, Any] | None = None
    logits: dict[str, Any] | None = None
    features: Any = None


class GuardPass:
    """
    Assesses a batch of prompts in one pass of the vision tower.

    Args:
        guard ([`AssessingGuard`]): what assesses; a [`TorchGuard`] where a request keeps features.
    """

    def __init__(self, guard: AssessingGuard):
        self.guard: Any = guard

    def __call__(self, requests: Sequence[GuardRequest], key: Any = None) -> list[Assessment]:
        prompts = [request.prompt for request in requests]
        features: Any = None
        if any(request.keeps_features for request in requests):
            raw, features = self.guard.assess_and_keep(prompts)
        else:
            raw = self.guard.assess(prompts)
        level_logits, type_logits = raw.level_logits.tolist(), raw.type_logits.tolist()
        by_version: dict[str, tuple[list[dict[str, Any]], list[SafetyDecision]]] = {}
        assessments, first_image = [], 0
        for row, request in enumerate(requests):
            in_force = request.in_force
            if in_force.version not in by_version:
                verdict = raw.with_temperature(**in_force.policy.temperature)
                by_version[in_force.version] = verdict.to_list(), verdict.decide(in_force.policy)
            verdicts, decisions = by_version[in_force.version]
            logits = {"level_logits": level_logits[row], "type_logits": type_logits[row]}
            images = range(first_image, first_image + request.prompt.num_images)
            assessments.append(
                Assessment(
                    in_force,
                    decisions[row],
                    verdicts[row],
                    {**logits, **_separate_logits(raw.separate.of_row(row))},
                    features.select(images) if request.keeps_features else None,
                )
            )
            first_image = images.stop
        return assessments


def _separate_logits(found: Separate) -> dict[str, list[list[float]]]:
    """All assessments of a row with several images."""
    if not len(found.rows):
        return {}
    return {
        "separate_level_logits": found.level_logits.tolist(),
        "separate_type_logits": found.type_logits.tolist(),
    }
