"""The one look at the images: their features, the verdict and the policy's decision, for all prompts that wait."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..models.image_batches import join_images
from ..models.processing_safety import SafetyProcessorMixin
from ..models.safety_assessment import SafeLlavaAssessmentMixin
from ..models.safety_modules import SafeLlavaImageFeatures
from ..models.safety_policy import SafetyDecision
from ..models.safety_verdict import SafetyVerdict
from .policy_holder import PolicyInForce
from .prompt_encoding import EncodedPrompt


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
    features: SafeLlavaImageFeatures | None = None


class GuardPass:
    """
    Assesses a batch of prompts in one pass of the vision tower.

    Args:
        model ([`SafeLlavaForConditionalGeneration`] or [`SafeLlavaForSafetyClassification`]): the model.
        processor ([`SafetyProcessorMixin`]): pads.
    """

    def __init__(self, model: SafeLlavaAssessmentMixin, processor: SafetyProcessorMixin):
        self.model, self.processor = model, processor

    @torch.no_grad()
    def __call__(self, requests: Sequence[GuardRequest], key: Any = None) -> list[Assessment]:
        model = self.model
        prompts = [{"input_ids": request.prompt.input_ids} for request in requests]
        inputs = self.processor.tokenizer.pad(prompts, return_tensors="pt").to(model.device)
        images = join_images([request.prompt.images for request in requests])
        images["pixel_values"] = images["pixel_values"].to(model.device, model.dtype)
        features: Any = model.get_image_features(**images, return_dict=True)
        raw = model.assess(
            inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            mm_encoder_outputs={"image": features},
            safety_policy=False,
        )
        level_logits, type_logits = raw.level_logits.float().tolist(), raw.type_logits.float().tolist()
        separate = _separate_logits(raw)
        by_version: dict[str, tuple[list[dict[str, Any]], list[SafetyDecision]]] = {}
        assessments, first_image = [], 0
        for row, request in enumerate(requests):
            in_force = request.in_force
            if in_force.version not in by_version:
                verdict = raw.with_temperature(**in_force.policy.temperature)
                by_version[in_force.version] = verdict.to_list(), model.decide(verdict, in_force.policy)
            verdicts, decisions = by_version[in_force.version]
            last_image = first_image + len(request.prompt.images["pixel_values"])
            assessments.append(
                Assessment(
                    in_force,
                    decisions[row],
                    verdicts[row],
                    {"level_logits": level_logits[row], "type_logits": type_logits[row], **separate.get(row, {})},
                    features.select(range(first_image, last_image)) if request.keeps_features else None,
                )
            )
            first_image = last_image
        return assessments


def _separate_logits(verdict: SafetyVerdict) -> dict[int, dict[str, list[list[float]]]]:
    """All assessments of the rows with several images, by row."""
    by_row: dict[int, dict[str, list[list[float]]]] = {}
    if verdict.separate is not None:
        found = verdict.separate
        for name, logits in (("level", found.level_logits), ("type", found.type_logits)):
            for row, values in zip(found.rows.tolist(), logits.float().tolist()):
                by_row.setdefault(row, {}).setdefault(f"separate_{name}_logits", []).append(values)
    return by_row
