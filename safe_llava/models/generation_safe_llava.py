"""Steered generation: one pass of the vision tower, the verdict, the policy, the answer.

Paper: inference with safety hints under the joint condition, arXiv 2405.13581, section 3.3.

The hint never enters `input_ids`. The language model is given the embeddings of the steered prompt while `generate`
keeps the caller's own tokens, so prompts, streamers, stopping criteria and logits processors never see a hint. Where
no hint applies the prompt goes on as it came, with the images' features in place of their pixels.
"""

import inspect
from typing import Any, Literal

import torch
from transformers.generation import (
    GenerateBeamDecoderOnlyOutput,
    GenerateDecoderOnlyOutput,
    GenerationConfig,
    GenerationMixin,
)
from transformers.generation.streamers import BaseStreamer
from transformers.utils import ModelOutput

from .generation_arguments import (
    check_prompt,
    find_prompt,
    refuse_arguments_of_forward,
    refuse_what_cannot_be_assessed,
)
from .image_batches import refuse_videos, share_images
from .outputs_safe_llava import CACHE_NAME
from .safety_assessment import SafeLlavaAssessmentMixin
from .safety_modules import SafeLlavaImageFeatures, encode_images
from .safety_policy import SafetyDecision, SafetyPolicy
from .safety_policy_tokens import check_policy_tokens
from .steered_prompts import (
    adapt_options,
    check_positions,
    count_new_tokens,
    end_token_ids,
    insert_hints,
    keep_rows,
    mask_padding,
    merge_refusals,
    stream,
)


class SafeLlavaGenerationMixin(SafeLlavaAssessmentMixin, GenerationMixin):
    """Adds the safety policy to `generate`. Mixed into [`SafeLlavaForConditionalGeneration`]."""

    @torch.no_grad()
    def generate(
        self,
        inputs: torch.Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        safety_policy: SafetyPolicy | dict | Literal[False] | None = None,
        streamer: BaseStreamer | None = None,
        **kwargs: Any,
    ) -> torch.Tensor | ModelOutput:
        """
        As [`~transformers.GenerationMixin.generate`], steered by a safety policy. The result always begins with the
        caller's own `input_ids`; hints are never part of it.

        Where the policy lets every row pass, this is `generate` with the policy off, whatever the options. In a batch
        with other rows, such a row gets the greedy tokens that it gets alone. A hint stands before the assistant's
        turn. Where the prompt ends inside that turn (`continue_final_message`), the model does not read its words, for
        it would go on from them whatever the hint says: the answer begins anew behind them. Rows with a hint are
        decoded with a cache, and without what only speeds decoding up: an assistant model, prompt lookup, chunks of
        the prompt. Refused rows leave the batch before the language model runs.

        Args:
            safety_policy ([`SafetyPolicy`], `dict` or `False`, *optional*):
                The policy of this call. `None` takes the model's own, a dictionary changes parts of it, `False` turns
                it off.
            kwargs:
                Everything that [`~transformers.GenerationMixin.generate`] takes.

        Returns:
            `torch.LongTensor` or [`~transformers.utils.ModelOutput`]: the sequences. With
            `return_dict_in_generate=True` the output also has `safety_verdict` ([`SafetyVerdict`]) and
            `safety_decisions` (a list of [`SafetyDecision`], one per prompt). Its scores, attentions and hidden states
            are those of the rows that the language model answered, and the cache is `None` when a prompt was steered,
            for it then holds a hint or lacks a row.

        Raises:
            ValueError: if the policy is invalid or holds a text that was never tokenised, if images are missing, if
                an option would lose a hint, or if a policy is in force and what the language model reads cannot be
                assessed: `inputs_embeds`, a cache of an earlier call, or images read from other layers of the vision
                tower than those that the head knows.
        """
        of_images = ("pixel_values", "mm_encoder_outputs", *self.image_arguments)
        arguments = {name: value for name, value in kwargs.items() if name not in of_images}
        refuse_arguments_of_forward(arguments)
        refuse_videos(arguments, kwargs.get("mm_encoder_outputs"))
        policy = self._resolve_safety_policy(safety_policy)
        if policy is None:
            return super().generate(inputs, generation_config, streamer=streamer, **kwargs)
        refuse_what_cannot_be_assessed(arguments, self.config)
        input_ids: Any = find_prompt(inputs, kwargs.get("input_ids"))
        if not _has_images(input_ids, kwargs, self.config.image_token_id):
            return super().generate(inputs, generation_config, streamer=streamer, **kwargs)
        check_prompt(input_ids)

        config, _ = self._prepare_generation_config(generation_config, **kwargs)
        attention_mask = kwargs.get("attention_mask")
        attention_mask = mask_padding(input_ids, config) if attention_mask is None else attention_mask
        pixel_values, encoded = kwargs.pop("pixel_values", None), kwargs.pop("mm_encoder_outputs", None)
        image_arguments = {name: kwargs.pop(name) for name in self.image_arguments if name in kwargs}
        verdict, image_outputs, num_placeholders = self._assess_prompts(
            input_ids, attention_mask, pixel_values, encoded, image_arguments
        )
        verdict = verdict.with_temperature(**policy.temperature)
        decisions = self.decide(verdict, policy)
        answered = [row for row, decision in enumerate(decisions) if decision.action != "refuse"]
        hints = [self._token_ids_of(decisions[row]) for row in answered]
        is_hinted, is_refused = any(hints), len(answered) < len(decisions)
        limits: dict[str, int | None] = {}
        if is_hinted or is_refused:
            limits = count_new_tokens(input_ids.shape[1], config, kwargs, generation_config, self.generation_config)

        kwargs.pop("input_ids", None)
        features = _select_images(image_outputs, num_placeholders, answered)
        if streamer is not None and is_refused and answered:
            raise ValueError("`streamer` takes one prompt at a time, and of these some are refused. Ask one by one.")
        if is_refused:
            kwargs = keep_rows(kwargs, answered, len(decisions))
        if is_hinted:
            kwargs = adapt_options(kwargs, config, limits)
            kwargs |= self._steer(input_ids[answered], attention_mask[answered], hints, features, kwargs)
        elif features is not None:
            kwargs["mm_encoder_outputs"] = {"image": features}

        has_beams = (config.num_beams or 1) > 1
        output: Any = (GenerateBeamDecoderOnlyOutput if has_beams else GenerateDecoderOnlyOutput)(input_ids[:0])
        if answered:
            ids = input_ids[answered] if is_refused else input_ids
            output = super().generate(ids, generation_config, streamer=streamer, **kwargs)
        else:
            self._check_arguments(kwargs)
        sequences = output if isinstance(output, torch.Tensor) else output.sequences
        if is_refused:
            refusals = {
                row: [*self._token_ids_of(decision), *end_token_ids(config)][: limits["max_new_tokens"]]
                for row, decision in enumerate(decisions)
                if decision.action == "refuse"
            }
            sequences = merge_refusals(input_ids, sequences, refusals, config)
            if streamer is not None and not answered:
                stream(streamer, sequences, input_ids.shape[1])
        if not config.return_dict_in_generate or isinstance(output, torch.Tensor):
            return sequences

        output["sequences"] = sequences
        output["safety_verdict"] = verdict
        output["safety_decisions"] = decisions
        if is_hinted or is_refused:
            output[CACHE_NAME] = None
        return output

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        inputs_embeds: torch.Tensor | None = None,
        is_first_iteration: bool = False,
        prompt_ids: torch.Tensor | None = None,
        prompt_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """As its parent, without a second run of the head. The prompt without a hint is for logits processors only."""
        # Older versions hand the images on to every step.
        if not is_first_iteration and kwargs.get("use_cache", True):
            kwargs.pop("mm_encoder_outputs", None)
        model_inputs = super().prepare_inputs_for_generation(
            input_ids, inputs_embeds=inputs_embeds, is_first_iteration=is_first_iteration, **kwargs
        )
        model_inputs["output_safety_logits"] = False
        return model_inputs

    def _expand_inputs_for_generation(
        self,
        expand_size: int = 1,
        is_encoder_decoder: bool = False,
        input_ids: torch.Tensor | None = None,
        **model_kwargs: Any,
    ) -> tuple[torch.Tensor | None, dict[str, Any]]:
        # The parent changes the features that the caller passed, and older versions mix up the images of rows.
        expanded: dict[str, Any] = {}
        counts: list[int] = []
        if expand_size > 1 and input_ids is not None:
            counts = (input_ids == self.config.image_token_id).sum(dim=1).tolist()
        if any(counts):
            encoded = model_kwargs.pop("mm_encoder_outputs", None) or {}
            names = (*self.image_arguments, "vision_feature_layer", "vision_feature_select_strategy")
            arguments = {name: model_kwargs.pop(name) for name in names if name in model_kwargs}
            # Once for all sequences of a row.
            features = encode_images(self, model_kwargs.pop("pixel_values", None), encoded or None, **arguments)
            rows = [row for row in range(len(counts)) for _ in range(expand_size)]
            expanded["mm_encoder_outputs"] = {**encoded, "image": _select_images(features, counts, rows)}
        input_ids, model_kwargs = super()._expand_inputs_for_generation(
            expand_size=expand_size, is_encoder_decoder=is_encoder_decoder, input_ids=input_ids, **model_kwargs
        )
        return input_ids, model_kwargs | expanded

    def _get_logits_processor(self, *args: Any, model_kwargs: dict[str, Any] | None = None, **kwargs: Any):
        # What processors read of the prompt, and where its padding ends, is the caller's and knows no hint.
        if model_kwargs is not None and model_kwargs.get("prompt_ids") is not None:
            kwargs["encoder_input_ids"] = model_kwargs["prompt_ids"]
            model_kwargs = {**model_kwargs, "attention_mask": model_kwargs["prompt_mask"]}
        return super()._get_logits_processor(*args, model_kwargs=model_kwargs, **kwargs)

    def _get_candidate_generator(self, *args: Any, **kwargs: Any):
        # An assistant with a policy of its own would assess the prompt again at every draft.
        if hasattr(kwargs.get("assistant_model"), "safety_policy"):
            kwargs["model_kwargs"] = {**kwargs["model_kwargs"], "safety_policy": False}
        return super()._get_candidate_generator(*args, **kwargs)

    def _resolve_safety_policy(
        self, safety_policy: SafetyPolicy | dict | Literal[False] | None
    ) -> SafetyPolicy | None:
        policy = super()._resolve_safety_policy(safety_policy)
        if policy is None:
            return policy
        if self.safety_policy is not None:
            check_policy_tokens(self.safety_policy, self._policy_token_ids, self.config)
        known = self._policy_token_ids.get("texts", {})
        for action, texts in policy.texts().items():
            if unknown := [text for text in texts if text not in known.get(action, {})]:
                raise ValueError(
                    f"`safety_policy` holds {len(unknown)} texts that this model has no token ids for, such as "
                    f"{unknown[0]!r}. Attach the policy with `model.set_safety_policy(policy, processor)` first."
                )
        return policy

    @property
    def _policy_token_ids(self) -> dict[str, Any]:
        return self.config.safety_policy_token_ids or {}

    def _token_ids_of(self, decision: SafetyDecision) -> list[int]:
        if decision.action == "answer":
            return []
        known = self._policy_token_ids["texts"][decision.action]
        return [token_id for text in decision.texts for token_id in known[text]]

    def _steer(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        hints: list[list[int]],
        features: SafeLlavaImageFeatures | None,
        kwargs: dict[str, Any],
    ) -> dict[str, Any]:
        """What `generate` is given in place of prompts that get hints."""
        if getattr(self.prepare_inputs_for_generation, "__self__", None) is not self:
            raise ValueError(
                "A hint cannot be given to a model whose `prepare_inputs_for_generation` was replaced, as PEFT does "
                "for prompt and prefix tuning. Take LoRA, or refuse instead: "
                '`safety_policy={"actions": {"low": "refuse", "medium": "refuse", "high": "refuse"}}`.'
            )
        check_positions(kwargs.get("position_ids"), attention_mask)
        steered_ids, steered_mask = insert_hints(input_ids, attention_mask, hints, self._policy_token_ids)
        inputs_embeds = self.get_input_embeddings()(steered_ids)
        return {
            "inputs_embeds": self.model.embed_prompt(steered_ids, inputs_embeds, features),
            "attention_mask": steered_mask,
            "position_ids": None,
            "prompt_ids": input_ids,
            "prompt_mask": attention_mask,
        }

    def _check_arguments(self, kwargs: dict[str, Any]) -> None:
        """What `generate` finds wrong with arguments, where every row is refused and it is not called."""
        known = {*inspect.signature(GenerationMixin.generate).parameters, "tokenizer", "assistant_tokenizer"}
        _, model_kwargs = self._prepare_generation_config(None, **kwargs)
        if not callable(kwargs.get("custom_generate")):
            left = {name: value for name, value in model_kwargs.items() if name not in known | {"trust_remote_code"}}
            self._validate_model_kwargs(left)


def _has_images(input_ids: torch.Tensor | None, kwargs: dict[str, Any], image_token_id: int) -> bool:
    if kwargs.get("pixel_values") is not None or kwargs.get("mm_encoder_outputs"):
        return True
    return input_ids is not None and bool((input_ids == image_token_id).any())


def _select_images(
    features: SafeLlavaImageFeatures | None, num_placeholders: list[int], rows: list[int]
) -> SafeLlavaImageFeatures | None:
    """What the language model reads of the images of some rows."""
    if features is None:
        return None
    images = features.pooler_output
    shares = share_images([len(of_image) for of_image in images], num_placeholders)
    kept = [images[index] for row in rows for index in shares[row]]
    return SafeLlavaImageFeatures(pooler_output=kept) if kept else None
