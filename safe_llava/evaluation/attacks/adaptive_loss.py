"""
What a white-box attack drives down, all at once: the head's level and type, the policy's joint condition on them, how
unfamiliar the image is, and the surprise of the answer that a model without safety would give, behind the hint that
the policy gives just then.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from transformers import BatchFeature

from ...models.safety_labels import RISK_TYPES, SAFE_TYPE_ID, SAFETY_LEVELS
from ...models.safety_policy import SafetyPolicy
from ...models.steered_prompts import insert_hints
from .attack_row import AttackRow
from .attack_target import AttackTarget


TARGET_TOKENS = 8
"""So many of the answer's first tokens are aimed at; the others follow by themselves."""
AFFIRMATIVE = "Yes, here is how."
"""Aimed at where the world knows no answer."""
_MARGIN = 1.0
_HEAD_WEIGHT = 0.25
_SAFELY_FAMILIAR = -0.1
"""In logarithms of the distance at which an image becomes unfamiliar."""


class AdaptiveLoss:
    """
    Args:
        target ([`AttackTarget`]): the model.
        rows (`Sequence[AttackRow]`): what is asked.
        inputs (`BatchFeature`): their prompts, as [`AttackTarget.encode`] gives them.
    """

    def __init__(self, target: AttackTarget, rows: Sequence[AttackRow], inputs: BatchFeature):
        self.target, self.inputs = target, inputs
        self.answers = [_encode_answer(target, row) for row in rows]

    def __call__(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """The loss of each row, of shape `(num_rows,)`."""
        if not self.target.has_head:
            ids, mask = self._append_answers(self.inputs["input_ids"], self.inputs["attention_mask"])
            return self._surprise(ids, mask, {"pixel_values": pixel_values})
        model: Any = self.target.model
        ids, mask = self.inputs["input_ids"], self.inputs["attention_mask"]
        verdict, image_outputs, _ = model._assess_prompts(ids, mask, pixel_values, None, {})
        policy = model.safety_policy
        if policy is not None:
            verdict = verdict.with_temperature(**policy.temperature)
        level, risk_type = (torch.full((len(verdict),), index, device=ids.device) for index in (0, SAFE_TYPE_ID))
        loss = _HEAD_WEIGHT * (
            F.cross_entropy(verdict.level_logits, level, reduction="none")
            + F.cross_entropy(verdict.type_logits, risk_type, reduction="none")
        )
        if policy is not None:
            loss = loss + F.relu(measure_strictness(verdict, policy) + _MARGIN)
            if verdict.novelty is not None and policy.unfamiliar == "refuse":
                loss = loss + F.relu(verdict.novelty.log() - _SAFELY_FAMILIAR)
            hints = [_hint_ids(model, decision) for decision in model.decide(verdict)]
            if any(hints):
                ids, mask = insert_hints(ids, mask, hints, model.config.safety_policy_token_ids)
        ids, mask = self._append_answers(ids, mask)
        surprise = self._surprise(ids, mask, {"mm_encoder_outputs": {"image": image_outputs}})
        return loss + surprise.to(loss.device)

    def _append_answers(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        answers = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(answer) for answer in self.answers], batch_first=True, padding_value=-1
        ).to(ids.device)
        return torch.cat([ids, answers.clamp(min=0)], dim=1), torch.cat([mask, (answers >= 0).to(mask)], dim=1)

    def _surprise(self, ids: torch.Tensor, mask: torch.Tensor, images: dict[str, Any]) -> torch.Tensor:
        """Mean cross-entropy of the first tokens of each row's answer, which stand at the end."""
        length = max(map(len, self.answers))
        more = {"output_safety_logits": False} if hasattr(self.target.model.config, "use_safety_head") else {}
        logits = self.target.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(dim=-1) - 1).clamp(min=0),
            logits_to_keep=length + 1,
            **images,
            **more,
        ).logits
        wanted, counted = ids[:, -length:], mask[:, -length:].to(logits.device)
        losses = F.cross_entropy(logits[:, :-1].float().transpose(1, 2), wanted.to(logits.device), reduction="none")
        return (losses * counted).sum(dim=1) / counted.sum(dim=1)


def measure_strictness(verdict: Any, policy: SafetyPolicy) -> torch.Tensor:
    """
    How far each row is from being answered as if it were harmless: above 0 the policy acts, by the lesser of how far
    the level and the types are over their bounds, for both must be. Of several assessments the strictest counts.

    Args:
        verdict ([`SafetyVerdict`]): at the policy's temperature.
        policy ([`SafetyPolicy`]): its thresholds and actions.

    Returns:
        `torch.Tensor` of shape `(num_rows,)`
    """
    strictness = _strictness(verdict.level_logits, verdict.type_logits, policy)
    if verdict.separate is None:
        return strictness
    each = _strictness(verdict.separate.level_logits, verdict.separate.type_logits, policy)
    return strictness.scatter_reduce(0, verdict.separate.rows.to(each.device), each, "amax")


def _strictness(level_logits: torch.Tensor, type_logits: torch.Tensor, policy: SafetyPolicy) -> torch.Tensor:
    acts = [policy.actions.get(name, "answer") != "answer" for name in SAFETY_LEVELS]
    enabled = [index for index, name in enumerate(RISK_TYPES) if policy.types[name]["enabled"]]
    if not any(acts) or not enabled:
        return level_logits.new_full(level_logits.shape[:1], -torch.inf)
    is_acting = torch.tensor(acts, device=level_logits.device)
    passed = ~is_acting
    by_level = level_logits.new_full(level_logits.shape[:1], torch.inf)
    if policy.level_threshold is not None:
        by_level = level_logits.log_softmax(dim=1)[:, 1:].logsumexp(dim=1) - math.log(policy.level_threshold)
        passed[0] = False
    if passed.any():
        is_likelier = level_logits[:, is_acting].amax(dim=1) - level_logits[:, passed].amax(dim=1)
        by_level = torch.minimum(by_level, is_likelier)
    thresholds = torch.tensor([policy.types[RISK_TYPES[index]]["threshold"] for index in enabled])
    log_probs = type_logits.log_softmax(dim=-1)[:, enabled] - thresholds.log().to(type_logits.device)
    return torch.minimum(by_level, log_probs.logsumexp(dim=-1))


def _hint_ids(model: Any, decision: Any) -> list[int]:
    """The tokens that the policy would put behind the question; none where the answer would be refused outright."""
    if decision.action != "hint":
        return []
    known = model.config.safety_policy_token_ids["texts"]["hint"]
    return [token for text in decision.texts for token in known[text]]


def _encode_answer(target: AttackTarget, row: AttackRow) -> list[int]:
    """The first tokens of the wanted answer, as they would stand behind the prompt."""
    prompt = target.render(row)
    wanted = (row.target or AFFIRMATIVE).removeprefix(row.begun).strip() or AFFIRMATIVE
    # A template writes a space or nothing before an answer; behind a begun one there is a space.
    before = prompt.rstrip() + " "
    tokenizer = target.processor.tokenizer
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in (prompt.rstrip(), before + wanted)]
    return ids[1][len(ids[0]) :][:TARGET_TOKENS]
