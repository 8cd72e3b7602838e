"""The verdict on images and their questions, without a layer of the language model, and the policy that acts on it."""

import copy
from typing import Any, Literal

import torch
from transformers import ProcessorMixin
from transformers.utils import logging

from .image_batches import refuse_videos, share_images
from .image_processor_check import check_image_processor, is_normalised_otherwise
from .pretrained_safe_llava import SafeLlavaPreTrainedModel
from .safety_familiarity import measure_novelty
from .safety_guarantee import require_own_guarantee
from .safety_head import raise_untaught_levels
from .safety_labels import SAFETY_LEVELS
from .safety_modules import SafeLlavaImageFeatures, SafetyModules, check_placeholders, encode_images
from .safety_policy import SafetyDecision, SafetyPolicy
from .safety_policy_tokens import check_policy_tokens, compare_policy_tokens, tokenize_policy
from .safety_trust import find_distrust
from .safety_verdict import SafetyVerdict
from .separate_assessments import assess_separately, find_own_text


logger = logging.get_logger(__name__)


class SafeLlavaAssessmentMixin(SafeLlavaPreTrainedModel):
    """
    Adds `assess`, `decide` and the stored policy to the models that answer and to the guards.
    """

    _distrust: tuple[list, str | None] | None = None
    _has_looked_at_pixels = False

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any):
        """
        As [`~transformers.PreTrainedModel.from_pretrained`]. A stored policy that could not be enforced is refused.
        """
        loaded = super().from_pretrained(*args, **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        if model.safety_policy is not None:
            check_policy_tokens(model.safety_policy, model.config.safety_policy_token_ids, model.config)
        elif model.config.use_safety_head and model.config.safety_training is not None:
            logger.warning(
                "The checkpoint has a trained safety head and no safety policy, so nothing acts on its verdicts: "
                "every image is answered. Attach one with `model.set_safety_policy(SafetyPolicy(), processor)`."
            )
        return loaded

    @torch.no_grad()
    def assess(
        self,
        input_ids: torch.LongTensor,
        pixel_values: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        mm_encoder_outputs: dict[str, SafeLlavaImageFeatures] | None = None,
        safety_policy: SafetyPolicy | dict | Literal[False] | None = None,
        return_evidence: bool = False,
        **image_arguments: Any,
    ) -> SafetyVerdict:
        """
        The safety head's verdict on each row. Runs the vision tower (unless its output is given) and the safety
        modules, no layer of the language model.

        Args:
            input_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`): the prompts, any padding side.
            pixel_values (`torch.Tensor` of shape `(num_images, num_channels, height, width)`, *optional*):
                All images, in the order of their placeholders; where the model cuts them, of shape
                `(num_images, num_tiles, num_channels, height, width)`.
            attention_mask (`torch.LongTensor` of shape `(batch_size, sequence_length)`, *optional*):
                0 where there is padding. Defaults to no padding.
            mm_encoder_outputs (`dict`, *optional*):
                `{"image": model.get_image_features(...)}`, in place of `pixel_values`.
            safety_policy ([`SafetyPolicy`], `dict` or `False`, *optional*):
                Whose temperature the logits are divided by, as in `generate`: `None` takes the model's own policy, and
                `False`, or a model without a policy, leaves them as `forward` returns them.
            return_evidence (`bool`, *optional*, defaults to `False`):
                Whether to also find the patches and words that the verdict rests on, as `verdict.evidence`.
            image_arguments (`Any`): what else the processor says of the images, such as `image_sizes`.

        A row with several images is assessed as a whole, and each of its images alone with the row's question, so
        that one risky image does not drown among others. The verdict is the gravest of these.

        Returns:
            [`SafetyVerdict`]

        Raises:
            ValueError: if the model was built without a safety head, if images and placeholders do not match, if
                `attention_mask` hides placeholders, or if there is a video.
            TypeError: if the model takes no argument of that name.
        """
        refuse_videos(image_arguments, mm_encoder_outputs)
        if unknown := sorted(image_arguments.keys() - set(self.image_arguments)):
            raise TypeError(f"assess() got an unexpected keyword argument {unknown[0]!r}")
        verdict, *_ = self._assess_prompts(
            input_ids,
            attention_mask,
            pixel_values,
            mm_encoder_outputs,
            image_arguments,
            return_evidence=return_evidence,
        )
        policy = self._resolve_safety_policy(safety_policy)
        return verdict if policy is None else verdict.with_temperature(**policy.temperature)

    def _assess_prompts(
        self,
        input_ids: torch.LongTensor,
        attention_mask: torch.Tensor | None,
        pixel_values: torch.Tensor | None,
        mm_encoder_outputs: dict[str, SafeLlavaImageFeatures] | None,
        image_arguments: dict[str, Any],
        return_evidence: bool = False,
    ) -> tuple[SafetyVerdict, SafeLlavaImageFeatures | None, list[int]]:
        """The verdict as the head gives it, the images' features, and the number of placeholders in each row."""
        if attention_mask is not None and attention_mask.shape != input_ids.shape:
            raise ValueError(
                f"`attention_mask` has the shape {tuple(attention_mask.shape)}, but `input_ids` has "
                f"{tuple(input_ids.shape)}. Pass the two that one call of the processor gave."
            )
        placeholders = input_ids == self.config.image_token_id
        hidden = torch.zeros_like(input_ids) if attention_mask is None else attention_mask.to(input_ids.device) == 0
        # Read before the vision tower is started: later, a GPU would stand still between the tower and the head.
        num_placeholders, num_hidden = torch.stack(
            [placeholders.sum(dim=1), (placeholders & hidden.bool()).sum(dim=1)]
        ).tolist()
        if any(num_hidden):
            row = next(row for row, number in enumerate(num_hidden) if number)
            raise ValueError(
                f"`attention_mask` hides {num_hidden[row]} of the {num_placeholders[row]} image tokens of row {row}. "
                "An image that the language model cannot read cannot be assessed either. Leave the image out of the "
                "prompt, or unmask it."
            )
        image_outputs = encode_images(self, pixel_values, mm_encoder_outputs, **image_arguments)
        check_placeholders(num_placeholders, image_outputs)
        self._look_at_pixels(pixel_values)
        safety_modules: SafetyModules = self.model.safety_modules
        text_embeds = self.get_input_embeddings()(input_ids)
        placeholders = placeholders.to(text_embeds.device)
        inputs = safety_modules.prepare_head_inputs(text_embeds, placeholders, image_outputs, attention_mask)
        _, head = safety_modules.require_head()
        level_logits, type_logits = head(*inputs)
        separate, read = None, inputs
        sizes: Any = [] if image_outputs is None else image_outputs.num_placeholders
        shares = share_images(sizes, num_placeholders)
        if image_outputs is not None and any(len(images) > 1 for images in shares):
            own_text = find_own_text(input_ids, placeholders, inputs.text_mask)
            separate, read, level_logits, type_logits = assess_separately(
                head, inputs, image_outputs.tile_images.to(own_text.device), own_text, level_logits, type_logits
            )
        trusted = torch.full_like(level_logits[:, 0], self.explain_distrust() is None, dtype=torch.bool)
        training = self.config.safety_training
        level_logits = raise_untaught_levels(level_logits, training)
        if separate is not None:
            separate.level_logits = raise_untaught_levels(separate.level_logits, training)
        has_image = placeholders.any(dim=1).to(trusted.device)
        novelty = None
        if self.config.safety_familiarity is not None:
            novelty = measure_novelty(self, image_outputs, inputs.image_rows, len(input_ids))
        verdict = SafetyVerdict(level_logits, type_logits, has_image, trusted, separate=separate, novelty=novelty)
        if return_evidence:
            verdict.evidence = safety_modules.explain(
                read, image_outputs, type_logits, verdict.trusted, inputs.image_rows
            )
        return verdict, image_outputs, num_placeholders

    def explain_distrust(self) -> str | None:
        """
        Why no verdict of this model can be trusted, or `None`; see [`~safe_llava.models.safety_trust.find_distrust`].
        Looked into again whenever the weights, or the layers that the head reads, have changed.
        """
        weights = [*self.model.vision_tower.parameters(), *self.model.safety_modules.parameters()]
        weights.append(self.get_input_embeddings().weight)
        state: list[Any] = [
            (id(weight), 0 if weight.is_inference() else weight._version, weight.dtype, weight.device)
            for weight in weights
        ]
        familiarity = copy.copy(self.config.safety_familiarity)  # Not the same one, whose fields may be changed.
        state += [self.config.safety_training, familiarity, list(self.model.vision_layers)]
        if self._distrust is None or self._distrust[0] != state:
            self._distrust = state, find_distrust(self)
            if self._distrust[1] is not None:
                logger.warning(
                    f"No verdict of this model can be trusted: {self._distrust[1]}. Every image is treated as risky. "
                    "Train stage 1 (recipes/train.py), or load the checkpoint as it was trained."
                )
        return self._distrust[1]

    def check_ready(self, processor: ProcessorMixin) -> None:
        """
        What a program does once before it serves this model, so that nothing is found out with the first image. Warns
        where no verdict can be trusted.

        Args:
            processor ([`SafeLlavaProcessor`]): what prepares the prompts.

        Raises:
            ValueError: if the processor is not the one that the model was trained with, or makes other tokens of the
                stored policy's texts.
        """
        check_image_processor(self.config, processor)
        if self.safety_policy is not None:
            check_policy_tokens(self.safety_policy, self.config.safety_policy_token_ids, self.config)
            compare_policy_tokens(self.safety_policy, self.config.safety_policy_token_ids or {}, processor)
        if self.config.use_safety_head:
            self.explain_distrust()

    def _look_at_pixels(self, pixel_values: torch.Tensor | None) -> None:
        """Warns of the first images if another image processor made them; all others come from the same."""
        if pixel_values is None or self._has_looked_at_pixels:
            return
        self._has_looked_at_pixels = True
        base_tiles = pixel_values[:, 0] if pixel_values.dim() == 5 else pixel_values  # Others may be filled up.
        if is_normalised_otherwise(self.config, base_tiles):
            logger.warning(
                "`pixel_values` do not come from the image processor that this model was trained with, so verdicts "
                "may be wrong. Take the processor of the checkpoint's own folder."
            )

    @property
    def safety_policy(self) -> SafetyPolicy | None:
        """The policy that is stored with the model, or `None`. Change it with `set_safety_policy`."""
        return None if self.config.safety_policy is None else SafetyPolicy.from_dict(self.config.safety_policy)

    def set_safety_policy(self, policy: SafetyPolicy | dict | None, processor: ProcessorMixin | None = None) -> None:
        """
        Stores a policy with the model: in `config.safety_policy`, with its texts as token ids beside it.

        Args:
            policy ([`SafetyPolicy`], `dict` or `None`):
                The policy; a dictionary may name a part of the fields, the rest are the defaults. `None` removes it.
            processor ([`SafeLlavaProcessor`]):
                Tokenises the texts and knows the chat template. Not needed to remove a policy.

        Raises:
            ValueError: if the policy is invalid or has a guarantee of another model, if there is no processor to
                tokenise it, if a text becomes no token that this model can be given, or if the processor is not the
                one that the model was trained with.
        """
        if policy is None:
            self.config.safety_policy = self.config.safety_policy_token_ids = None
            return
        if processor is None:
            raise ValueError("`processor` is missing: it is needed to turn the policy's texts into token ids.")
        check_image_processor(self.config, processor)
        policy = SafetyPolicy.from_dict(policy) if isinstance(policy, dict) else policy
        require_own_guarantee(policy.guarantee, self.config)
        token_ids = tokenize_policy(policy, processor)
        self.config.safety_policy, self.config.safety_policy_token_ids = policy.to_dict(), token_ids

    def decide(
        self, verdict: SafetyVerdict, safety_policy: SafetyPolicy | dict | Literal[False] | None = None
    ) -> list[SafetyDecision]:
        """
        What a policy does with each row of a verdict. Rows without an image are answered. Where a row with several
        images was assessed by `assess`, the strictest decision on any of its assessments holds.

        Args:
            verdict ([`SafetyVerdict`]): from `assess` under the same policy, whose temperature is then in it.
            safety_policy ([`SafetyPolicy`], `dict` or `False`, *optional*):
                As in `assess`. Without a policy every row is answered.
        """
        policy = self._resolve_safety_policy(safety_policy)
        # One read of the device for all, and the first that waits for the verdict.
        unfamiliar = verdict.unfamiliar
        columns = torch.stack([verdict.has_image, verdict.trusted | unfamiliar, unfamiliar], dim=1)
        rows = torch.cat([columns.to(verdict.type_probs), verdict.level_probs, verdict.type_probs], dim=1).tolist()
        num_levels = len(SAFETY_LEVELS)
        decisions = [
            policy.decide(probs[:num_levels], probs[num_levels:], bool(trusted), bool(is_new))
            if has_image and policy is not None
            else SafetyDecision("answer")
            for has_image, trusted, is_new, *probs in rows
        ]
        if verdict.separate is not None and policy is not None:
            # The gravest may be what this policy lets pass, such as a type that is off, and another may not.
            for row, levels, types in verdict.separate.to_rows():
                decisions[row] = max(decisions[row], policy.decide(levels, types), key=SafetyDecision.strictness)
        return decisions

    def _resolve_safety_policy(
        self, safety_policy: SafetyPolicy | dict | Literal[False] | None
    ) -> SafetyPolicy | None:
        if safety_policy is False:
            return None
        if safety_policy is None:
            return self.safety_policy
        if isinstance(safety_policy, dict):
            return (self.safety_policy or SafetyPolicy()).updated(safety_policy)
        if not isinstance(safety_policy, SafetyPolicy):
            raise TypeError(
                "`safety_policy` is a `SafetyPolicy`, a dict of the fields to change, False for none or None for the "
                f"stored one, not {safety_policy!r:.80}"
            )
        return safety_policy
