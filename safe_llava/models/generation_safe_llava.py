"""Steered generation: one pass of the vision tower, the verdict, the policy, the answer.

Paper: inference with safety hints under the joint condition, arXiv 2405.13581, section 3.3.

The hint never enters `input_ids`. The language model is given the embeddings of the steered prompt while `generate`
keeps the caller's own tokens, so prompts, streamers, stopping criteria and logits processors never see a hint.
"""

import copy
from itertools import accumulate
from typing import Any, Literal

import torch
from transformers.cache_utils import Cache
from transformers.generation import GenerateDecoderOnlyOutput, GenerationConfig, GenerationMixin
from transformers.generation.streamers import BaseStreamer
from transformers.utils import ModelOutput

from .outputs_safe_llava import CACHE_NAME
from .safety_assessment import SafeLlavaAssessmentMixin
from .safety_modules import SafeLlavaImageFeatures
from .safety_policy import SafetyDecision, SafetyPolicy


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

        Rows without an image, and rows that the policy lets pass, get the tokens they would get with the policy off.
        Where a hint applies in assisted decoding, the row is decoded without the assistant. Refused rows leave the
        batch before the language model runs. Rows with images are decoded with a cache, whatever `use_cache` says.

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
            ValueError: if the policy is invalid or holds a text that was never tokenised, if images are missing, or
                if a cache of an earlier call is passed under a policy.
        """
        policy = self._resolve_safety_policy(safety_policy)
        input_ids: Any = kwargs.get("input_ids", inputs)
        if policy is not None:
            _check_no_filled_cache(kwargs)
        if policy is None or not _has_images(input_ids, kwargs, self.config.image_token_id):
            return super().generate(inputs, generation_config, streamer=streamer, **kwargs)
        if input_ids is None or kwargs.get("inputs_embeds") is not None:
            raise ValueError(
                "A safety policy needs the prompt as `input_ids`, not as `inputs_embeds`: the question is read from "
                "it. Pass `input_ids`, or switch the policy off with `safety_policy=False`."
            )

        config = copy.deepcopy(generation_config or self.generation_config)
        config.update(**self.generation_config.to_dict(), defaults_only=True)
        kwargs = config.update(**kwargs)
        kwargs.pop("input_ids", None)
        _count_new_tokens_only(config, input_ids.shape[1])
        attention_mask = kwargs.pop("attention_mask", None)
        if attention_mask is None:
            attention_mask = _mask_padding(input_ids, config)

        verdict, image_outputs, num_placeholders = self._assess_prompts(
            input_ids, attention_mask, kwargs.pop("pixel_values", None), kwargs.pop("mm_encoder_outputs", None)
        )
        verdict = verdict.with_temperature(**policy.temperature)
        decisions = self.decide(verdict, policy)
        answered = [row for row, decision in enumerate(decisions) if decision.action != "refuse"]
        hints = [self._token_ids_of(decisions[row]) for row in answered]
        is_steered = any(hints) or len(answered) < len(decisions)
        if is_steered:
            _adapt_to_steering(kwargs, answered)
        if any(hints):
            kwargs.pop("assistant_model", None)
            config.prompt_lookup_num_tokens = None

        output: Any = GenerateDecoderOnlyOutput(sequences=input_ids[:0])
        if answered:
            ids = input_ids[answered]
            steered_ids, steered_mask = self._insert_hints(ids, attention_mask[answered], hints)
            output = super().generate(
                ids,
                generation_config=config,
                inputs_embeds=self._embed_rows(steered_ids, num_placeholders, answered, image_outputs),
                attention_mask=steered_mask,
                streamer=streamer,
                **kwargs,
            )
        sequences = output if isinstance(output, torch.Tensor) else output.sequences
        if len(answered) < len(decisions):
            end = [] if config.eos_token_id is None else [_first(config.eos_token_id)]
            refusals = {
                row: [*self._token_ids_of(decision), *end][: config.max_new_tokens]
                for row, decision in enumerate(decisions)
                if decision.action == "refuse"
            }
            copies = config.num_return_sequences or 1
            sequences = _merge_refusals(input_ids, sequences, refusals, copies, _pad_token_id(config))
            if streamer is not None and not answered:
                _stream(streamer, sequences, input_ids.shape[1])
        if not config.return_dict_in_generate:
            return sequences

        output["sequences"] = sequences
        output["safety_verdict"] = verdict
        output["safety_decisions"] = decisions
        if is_steered:
            output[CACHE_NAME] = None
        return output

    def prepare_inputs_for_generation(
        self,
        input_ids: torch.Tensor,
        inputs_embeds: torch.Tensor | None = None,
        is_first_iteration: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """As its parent, without a second run of the head, and with the drafts of assisted decoding embedded."""
        if inputs_embeds is not None and is_first_iteration and input_ids.shape[1] > inputs_embeds.shape[1]:
            drafted = self.get_input_embeddings()(input_ids[:, inputs_embeds.shape[1] :])
            inputs_embeds = torch.cat([inputs_embeds, drafted], dim=1)
        model_inputs = super().prepare_inputs_for_generation(
            input_ids, inputs_embeds=inputs_embeds, is_first_iteration=is_first_iteration, **kwargs
        )
        model_inputs["output_safety_logits"] = False
        return model_inputs

    def _get_candidate_generator(self, *args: Any, **kwargs: Any):
        # An assistant of another width cannot read this model's embeddings: it drafts unsteered from the tokens.
        model_kwargs = {key: value for key, value in kwargs.pop("model_kwargs").items() if key != "inputs_embeds"}
        if hasattr(kwargs.get("assistant_model"), "safety_policy"):
            model_kwargs["safety_policy"] = False
        return super()._get_candidate_generator(*args, model_kwargs=model_kwargs, **kwargs)

    def _resolve_safety_policy(
        self, safety_policy: SafetyPolicy | dict | Literal[False] | None
    ) -> SafetyPolicy | None:
        policy = super()._resolve_safety_policy(safety_policy)
        if policy is None or safety_policy is None:
            return policy
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

    def _insert_hints(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, hints: list[list[int]]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Puts each row's hint before the assistant's turn (at the end where there is none) and pads on the left."""
        if not any(hints):
            return input_ids, attention_mask
        assistant_turn = self._policy_token_ids["assistant_turn"]
        rows = []
        for row, mask, hint in zip(input_ids.tolist(), attention_mask.tolist(), hints):
            prompt = [token for token, is_kept in zip(row, mask) if is_kept]
            ends_in_turn = prompt[-len(assistant_turn) :] == assistant_turn
            position = len(prompt) - len(assistant_turn) if ends_in_turn else len(prompt)
            rows.append(prompt[:position] + hint + prompt[position:])
        length = max(map(len, rows))
        # Padding is embedded though nothing attends to it, and a pad token need not be in the vocabulary.
        filler = assistant_turn[0]
        steered_ids = [[filler] * (length - len(row)) + row for row in rows]
        steered_mask = [[0] * (length - len(row)) + [1] * len(row) for row in rows]
        return input_ids.new_tensor(steered_ids), attention_mask.new_tensor(steered_mask)

    def _embed_rows(
        self,
        steered_ids: torch.Tensor,
        num_placeholders: list[int],
        rows: list[int],
        image_outputs: SafeLlavaImageFeatures | None,
    ) -> torch.Tensor:
        inputs_embeds = self.get_input_embeddings()(steered_ids)
        if image_outputs is None:
            return inputs_embeds
        images = image_outputs.pooler_output
        ends = [filled // len(images[0]) for filled in accumulate(num_placeholders)]
        kept = [image for row in rows for image in images[ends[row - 1] if row else 0 : ends[row]]]
        if not kept:
            return inputs_embeds
        return self.model.embed_prompt(steered_ids, inputs_embeds, SafeLlavaImageFeatures(pooler_output=kept))


def _has_images(input_ids: torch.Tensor | None, kwargs: dict[str, Any], image_token_id: int) -> bool:
    if kwargs.get("pixel_values") is not None or kwargs.get("mm_encoder_outputs"):
        return True
    return input_ids is not None and bool((input_ids == image_token_id).any())


def _check_no_filled_cache(kwargs: dict[str, Any]) -> None:
    """Refuses a cache under each name that a version of transformers takes: the images in it cannot be assessed."""
    for name in ("cache", "past_key_values", "cache_params"):
        cache = kwargs.get(name)
        if cache is not None and (not isinstance(cache, Cache) or cache.get_seq_length() > 0):
            raise ValueError(
                f"`{name}` of an earlier call cannot be continued under a safety policy, for its images would go "
                f"unseen. Pass the whole conversation with its images and no `{name}`."
            )


def _first(token_id: int | list[int] | None) -> int | None:
    return token_id[0] if isinstance(token_id, list) else token_id


def _pad_token_id(config: GenerationConfig) -> int:
    token_id = config.pad_token_id if config.pad_token_id is not None else _first(config.eos_token_id)
    return 0 if token_id is None else token_id


def _mask_padding(input_ids: torch.Tensor, config: GenerationConfig) -> torch.Tensor:
    if config.pad_token_id is None or config.pad_token_id == _first(config.eos_token_id):
        return torch.ones_like(input_ids)
    return (input_ids != config.pad_token_id).long()


def _count_new_tokens_only(config: GenerationConfig, prompt_length: int) -> None:
    """Turns limits on the whole length into limits on the answer, for a hint makes the prompt longer."""
    if config.max_length is not None and config.max_new_tokens is None:
        config.max_new_tokens = config.max_length - prompt_length
    if config.min_length is not None and config.min_new_tokens is None:
        config.min_new_tokens = max(config.min_length - prompt_length, 0)
    config.max_length = config.min_length = None


def _adapt_to_steering(kwargs: dict[str, Any], answered: list[int]) -> None:
    """Positions follow from the steered mask, and callers number rows by their place in the whole batch."""
    kwargs.pop("position_ids", None)
    if (allowed_tokens := kwargs.get("prefix_allowed_tokens_fn")) is not None:
        kwargs["prefix_allowed_tokens_fn"] = lambda row, tokens: allowed_tokens(answered[row], tokens)


def _merge_refusals(
    input_ids: torch.Tensor,
    sequences: torch.Tensor,
    refusals: dict[int, list[Any]],
    copies: int,
    pad_token_id: int,
) -> torch.Tensor:
    """Puts refused rows back among the answered ones, `copies` sequences a prompt, padded on the right."""
    answers = iter(sequences)
    rows = []
    for row, prompt in enumerate(input_ids):
        for _ in range(copies):
            rows.append(torch.cat([prompt, prompt.new_tensor(refusals[row])]) if row in refusals else next(answers))
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=pad_token_id)


def _stream(streamer: BaseStreamer, sequences: torch.Tensor, prompt_length: int) -> None:
    streamer.put(sequences[:, :prompt_length].cpu())
    for token in sequences[0, prompt_length:]:
        streamer.put(token.unsqueeze(0).cpu())
    streamer.end()
