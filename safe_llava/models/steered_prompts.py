"""What a hint or a refusal makes of a batch of token ids, and which options of `generate` cannot live with a hint."""

from typing import Any

import torch
from transformers.generation import GenerationConfig
from transformers.generation.streamers import BaseStreamer
from transformers.utils import logging

from .generation_arguments import CACHES


logger = logging.get_logger(__name__)

# What drafts tokens from the prompt's ids, or splits them: with a hint, the language model reads embeddings.
_SPEED_OPTIONS = ("assistant_early_exit", "prefill_chunk_size", "prompt_lookup_num_tokens", "use_mtp")
_SPEED_ARGUMENTS = ("assistant_model", "assistant_tokenizer")


def insert_hints(
    input_ids: torch.Tensor, attention_mask: torch.Tensor, hints: list[list[int]], token_ids: dict[str, Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Puts each row's hint before the assistant's turn and pads on the left. Words that the assistant's turn has already
    are left out, for a model goes on from them whatever the hint says. A prompt that ends in the user's turn gets the
    hint at its end.

    Args:
        input_ids (`torch.LongTensor` of shape `(batch_size, sequence_length)`): the prompts.
        attention_mask (`torch.LongTensor` of shape `(batch_size, sequence_length)`): 0 at padding.
        hints (`list[list[int]]`): one a row, empty for none.
        token_ids (`dict`): from [`tokenize_policy`].
    """
    rows = []
    for row, mask, hint in zip(input_ids.tolist(), attention_mask.tolist(), hints):
        prompt = [token for token, is_kept in zip(row, mask) if is_kept]
        if hint:
            position = _find_turn(prompt, token_ids)
            if len(prompt) > position + len(token_ids["assistant_turn"]):
                logger.warning_once(
                    "A prompt that ends in words of the assistant got a safety hint: the language model does not read "
                    "these words, and its answer begins anew behind them."
                )
            turn = token_ids["assistant_turn"] if position < len(prompt) else []
            prompt = prompt[:position] + hint + turn
        rows.append(prompt)
    length = max(map(len, rows))
    # Padding is embedded though nothing attends to it, and a pad token need not be in the vocabulary.
    filler = next(ids for ids in hints if ids)[0]
    steered_ids = [[filler] * (length - len(row)) + row for row in rows]
    steered_mask = [[0] * (length - len(row)) + [1] * len(row) for row in rows]
    return input_ids.new_tensor(steered_ids), attention_mask.new_tensor(steered_mask)


def _find_turn(prompt: list[int], token_ids: dict[str, Any]) -> int:
    turn, user_start = token_ids["assistant_turn"], token_ids["user_start"]
    if turn and prompt[-len(turn) :] == turn:
        return len(prompt) - len(turn)
    begun = _find_last(prompt, token_ids["assistant_start"])
    # Behind an assistant's turn that is over there is one of the user.
    return begun if user_start and begun > _find_last(prompt, user_start) else len(prompt)


def _find_last(ids: list[int], part: list[int]) -> int:
    starts = range(len(ids) - len(part), -1, -1) if part else range(0)
    return next((start for start in starts if ids[start : start + len(part)] == part), -1)


def count_new_tokens(
    prompt_length: int, resolved: GenerationConfig, kwargs: dict[str, Any], *configs: GenerationConfig | None
) -> dict[str, int | None]:
    """
    How many tokens an answer may have and must have, as `max_new_tokens` and `min_new_tokens`; `None` where nobody
    set a limit.

    Args:
        prompt_length (`int`): tokens of the caller's prompt.
        resolved ([`~transformers.GenerationConfig`]): the options in force.
        kwargs (`dict`), configs ([`~transformers.GenerationConfig`]): where limits on the whole length may be set.

    Raises:
        ValueError: if the limit on the whole length leaves nothing for an answer.
    """
    limits = {"max_new_tokens": resolved.max_new_tokens, "min_new_tokens": resolved.min_new_tokens}
    for bound in ("max", "min"):
        length = getattr(resolved, f"{bound}_length")
        is_set = any(getattr(config, f"{bound}_length", None) is not None for config in configs)
        if limits[f"{bound}_new_tokens"] is None and length is not None and (is_set or f"{bound}_length" in kwargs):
            limits[f"{bound}_new_tokens"] = max(length - prompt_length, 0)
    if limits["max_new_tokens"] == 0:
        raise ValueError(
            f"Input length of input_ids is {prompt_length}, but `max_length` is set to {resolved.max_length}: nothing "
            "is left for an answer. Increase `max_length` or, better, set `max_new_tokens`."
        )
    return limits


def adapt_options(kwargs: dict[str, Any], resolved: GenerationConfig, limits: dict[str, int | None]) -> dict[str, Any]:
    """
    The arguments of `generate` for rows that get a hint: limits on the whole length become limits on the answer, for
    the hint makes the prompt longer; what only speeds decoding up is left out, and a cache that the caller has made,
    which may be too short for it.

    Raises:
        ValueError: if an option would lose the hint.
    """
    if resolved.token_healing:
        raise ValueError(
            "`token_healing` rewrites the prompt, and a prompt with images or a hint cannot be rewritten."
        )
    if kwargs.get("cache_implementation") == "paged":
        raise ValueError(
            "Continuous batching (`cache_implementation='paged'`) cannot take the hint of a safety policy."
        )
    adapted = {name: value for name, value in kwargs.items() if name not in (*_SPEED_ARGUMENTS, *CACHES)}
    adapted |= {name: None for name in _SPEED_OPTIONS if getattr(resolved, name, None)}
    if resolved.min_length is None:
        adapted["min_length"] = 0
    for name in ("max", "min"):
        if limits[f"{name}_new_tokens"] is not None:
            adapted |= {f"{name}_new_tokens": limits[f"{name}_new_tokens"], f"{name}_length": None}
    return adapted


def check_positions(position_ids: torch.Tensor | None, attention_mask: torch.Tensor) -> None:
    """Raises a `ValueError` unless positions of the caller are those that follow from the mask anyway."""
    if position_ids is None:
        return
    expected = attention_mask.long().cumsum(dim=-1) - 1
    if not ((position_ids.to(expected.device) == expected) | (attention_mask == 0)).all():
        raise ValueError(
            "`position_ids` of the caller cannot be kept where a hint lengthens the prompt. Leave them out, or switch "
            "the policy off with `safety_policy=False`."
        )


def keep_rows(kwargs: dict[str, Any], rows: list[int], batch_size: int) -> dict[str, Any]:
    """The arguments of `generate` for some rows of a batch: tensors of one entry a row lose the other rows."""
    kept = {
        name: value[rows] if isinstance(value, torch.Tensor) and value.shape[:1] == (batch_size,) else value
        for name, value in kwargs.items()
    }
    if (allowed_tokens := kwargs.get("prefix_allowed_tokens_fn")) is not None:
        # Callers number rows by their place in the whole batch.
        kept["prefix_allowed_tokens_fn"] = lambda row, tokens: allowed_tokens(rows[row], tokens)
    return kept


def mask_padding(input_ids: torch.Tensor, config: GenerationConfig) -> torch.Tensor:
    """The mask that `generate` takes where it is given none."""
    ends = config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id]
    if config.pad_token_id is None or config.pad_token_id in ends:
        return torch.ones_like(input_ids)
    return (input_ids != config.pad_token_id).long()


def merge_refusals(
    input_ids: torch.Tensor,
    sequences: torch.Tensor,
    refusals: dict[int, list[int]],
    config: GenerationConfig,
) -> torch.Tensor:
    """Puts refused rows back among the answered ones, as many sequences a prompt as asked, padded on the right."""
    answers = iter(sequences)
    rows = []
    for row, prompt in enumerate(input_ids):
        for _ in range(config.num_return_sequences or 1):
            rows.append(torch.cat([prompt, prompt.new_tensor(refusals[row])]) if row in refusals else next(answers))
    padding = [config.pad_token_id, *end_token_ids(config), 0]
    padding_value = next(token_id for token_id in padding if token_id is not None)
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=padding_value)


def end_token_ids(config: GenerationConfig) -> list[int]:
    """The first end token as a list, empty where there is none."""
    token_id = config.eos_token_id
    return [] if token_id is None else token_id[:1] if isinstance(token_id, list) else [token_id]


def stream(streamer: BaseStreamer, sequences: torch.Tensor, prompt_length: int) -> None:
    """Streams the one sequence that no language model made."""
    streamer.put(sequences[:, :prompt_length].cpu())
    for token in sequences[0, prompt_length:]:
        streamer.put(token.unsqueeze(0).cpu())
    streamer.end()
