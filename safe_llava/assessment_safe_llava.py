"""The verdict on pictures and their questions, and what it rests on, without any layer of the language model."""

import re
from typing import Any, Literal

import torch
from transformers.utils import logging

from .outputs_safe_llava import SafeLlavaImageFeatures, check_placeholders
from .policy_safe_llava import SafeLlavaPolicyMixin
from .safety_evidence import locate_evidence
from .safety_policy import SafetyPolicy
from .safety_verdict import SafetyVerdict


logger = logging.get_logger(__name__)

_JUDGING_WEIGHTS = re.compile(r"(^|\.)(safety_\w+|vision_tower|embed_tokens)\.")


class SafeLlavaAssessmentMixin(SafeLlavaPolicyMixin):
    """Adds `assess`. Mixed into [`SafeLlavaForConditionalGeneration`] and [`SafeLlavaForSafetyClassification`]."""

    model: Any
    missing_safety_weights: list[str]

    @classmethod
    def from_pretrained(cls, *args: Any, output_loading_info: bool = False, **kwargs: Any):
        """
        As [`~transformers.PreTrainedModel.from_pretrained`]. When the checkpoint lacks weights that a verdict rests on
        the model says so and fails closed: every verdict on a picture is untrusted.
        """
        model, loading_info = super().from_pretrained(*args, output_loading_info=True, **kwargs)  # type: ignore[misc]
        mismatched = {key for key, *_ in loading_info["mismatched_keys"]}
        lacking = sorted(key for key in loading_info["missing_keys"] | mismatched if _JUDGING_WEIGHTS.search(key))
        model.missing_safety_weights = lacking
        if lacking:
            logger.warning(
                f"The checkpoint lacks {len(lacking)} weights that verdicts rest on, such as `{lacking[0]}`. Until "
                "they are trained, every picture is treated as risky. To start from a stock LLaVA use "
                "`safe-llava convert`."
            )
        return (model, loading_info) if output_loading_info else model

    @torch.no_grad()
    def assess(
        self,
        input_ids: torch.LongTensor,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, SafeLlavaImageFeatures] | None = None,
        safety_policy: SafetyPolicy | dict | Literal[False] | None = None,
        return_evidence: bool = False,
    ) -> SafetyVerdict:
        """
        The safety head's verdict on each row. Runs the vision tower (unless its output is given) and the safety
        modules, no layer of the language model.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`): the prompts, any padding side.
            pixel_values (`torch.Tensor` of shape `(num_images, num_channels, height, width)`, *optional*):
                All pictures, in the order of their placeholders.
            attention_mask (`torch.LongTensor` of shape `(batch_size, sequence_length)`, *optional*):
                0 where there is padding. Defaults to no padding.
            mm_encoder_outputs (`dict`, *optional*):
                `{"image": model.get_image_features(...)}`, in place of `pixel_values`.
            safety_policy ([`SafetyPolicy`], `dict` or `False`, *optional*):
                Whose temperature the logits are divided by, as in `generate`: `None` takes the model's own policy, and
                `False`, or a model without a policy, leaves them as `forward` returns them.
            return_evidence (`bool`, *optional*, defaults to `False`):
                Whether to also find the patches and words that the verdict rests on, as `verdict.evidence`.

        Returns:
            [`SafetyVerdict`]

        Raises:
            ValueError: if the model was built without a safety head, or if pictures and placeholders do not match.
        """
        verdict, *_ = self._judge_prompts(
            input_ids, attention_mask, pixel_values, mm_encoder_outputs, return_evidence=return_evidence
        )
        policy = self._resolve_safety_policy(safety_policy)
        return verdict if policy is None else verdict.with_temperature(**policy.temperature)

    def _judge_prompts(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None,
        pixel_values: torch.Tensor | None,
        mm_encoder_outputs: dict[str, SafeLlavaImageFeatures] | None,
        return_evidence: bool = False,
    ) -> tuple[SafetyVerdict, SafeLlavaImageFeatures | None, list[int]]:
        """The verdict as the head gives it, the pictures' features, and the number of placeholders in each row."""
        placeholders = input_ids == self.config.image_token_id
        # Read before the vision tower is started: later, a GPU would stand still between the tower and the head.
        num_placeholders = placeholders.sum(dim=1).tolist()
        image_outputs = self.model.get_image_outputs(pixel_values, mm_encoder_outputs)
        check_placeholders(num_placeholders, image_outputs)
        text_mask = ~placeholders if attention_mask is None else ~placeholders & attention_mask.bool()
        text_embeds = self.model.get_input_embeddings()(input_ids)
        placeholders = placeholders.to(text_embeds.device)
        level_logits, type_logits, *measured = self.model.judge(
            text_embeds, placeholders, text_mask.to(text_embeds.device), image_outputs, return_evidence
        )
        is_finite = level_logits.isfinite().all(dim=-1) & type_logits.isfinite().all(dim=-1)
        trusted = is_finite & (self.config.safety_modules_trained and not self.missing_safety_weights)
        verdict = SafetyVerdict(level_logits, type_logits, placeholders.any(dim=1).to(trusted.device), trusted)
        if return_evidence:
            image_rows, patch_grid = trusted.new_zeros(0, dtype=torch.long), (1, 1)
            if image_outputs is not None:
                image_rows, patch_grid = image_outputs.find_rows(placeholders), image_outputs.patch_grid
            token_grid = self.model.safety_projector.token_grid(patch_grid)
            verdict.evidence = locate_evidence(
                measured[0], image_rows.to(trusted.device), token_grid, patch_grid, trusted
            )
        return verdict, image_outputs, num_placeholders
