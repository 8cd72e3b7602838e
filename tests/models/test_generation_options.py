"""Every option of `generate`: without a hint a policy changes nothing, and with one nothing is lost in silence."""

from typing import Any

import pytest
import torch
from transformers import GenerationConfig, WatermarkingConfig
from transformers.generation import CompileConfig


LENGTH = {"max_new_tokens": 3, "do_sample": False}
SAMPLE = {"do_sample": True}
BEAMS = {"num_beams": 2}
SCORES = {"return_dict_in_generate": True}

# For each option the values to try, each with what it takes to have an effect. None switches a default off.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "assistant_confidence_threshold": [{"assistant_confidence_threshold": 0.1, "prompt_lookup_num_tokens": 2}],
    "assistant_early_exit": [{"assistant_early_exit": 1}],
    "assistant_ensemble_weight": [{"assistant_ensemble_weight": 0.5}],
    "assistant_lookbehind": [{"assistant_lookbehind": 3}],
    "bad_words_ids": [{"bad_words_ids": [[11], [12, 13]]}],
    "begin_suppress_tokens": [{"begin_suppress_tokens": list(range(5, 120))}],
    "bos_token_id": [{"bos_token_id": 2}, {"bos_token_id": None}],
    "cache_config": [{"cache_config": {"backend": "quanto"}}],
    "cache_implementation": [
        *({"cache_implementation": name} for name in ("static", "dynamic", "offloaded", "quantized")),
    ],
    "compile_config": [{"compile_config": CompileConfig()}],
    "constraints": [{"constraints": [1]}],
    "continuous_batching_config": [{"continuous_batching_config": None}],
    "decoder_start_token_id": [{"decoder_start_token_id": 5}],
    "disable_compile": [{"disable_compile": True}],
    "diversity_penalty": [{"diversity_penalty": 0.5, **BEAMS}],
    "do_sample": [SAMPLE, {"do_sample": None}],
    "dola_layers": [{"dola_layers": "low"}],
    "early_stopping": [{"early_stopping": True, **BEAMS}, {"early_stopping": "never", **BEAMS}],
    "encoder_no_repeat_ngram_size": [{"encoder_no_repeat_ngram_size": 1}],
    "encoder_repetition_penalty": [{"encoder_repetition_penalty": 30.0}],
    "eos_token_id": [{"eos_token_id": list(range(100))}, {"eos_token_id": None}],
    "epsilon_cutoff": [{"epsilon_cutoff": 0.1, **SAMPLE}],
    "eta_cutoff": [{"eta_cutoff": 0.1, **SAMPLE}],
    "exponential_decay_length_penalty": [{"exponential_decay_length_penalty": (1, 3.0), "eos_token_id": 2}],
    "force_words_ids": [{"force_words_ids": [[11]], **BEAMS}],
    "forced_bos_token_id": [{"forced_bos_token_id": 11}],
    "forced_eos_token_id": [{"forced_eos_token_id": 2}],
    "guidance_scale": [{"guidance_scale": 1.5}],
    "is_assistant": [{"is_assistant": True}],
    "length_penalty": [{"length_penalty": 3.0, **BEAMS}],
    "low_memory": [{"low_memory": True}],
    "max_cache_len": [{"max_cache_len": 200, "cache_implementation": "static"}],
    "max_length": [{"max_length": 200, "max_new_tokens": None}, {"max_length": 5, "max_new_tokens": None}],
    "max_matching_ngram_size": [{"max_matching_ngram_size": 1, "prompt_lookup_num_tokens": 2}],
    "max_new_tokens": [{"max_new_tokens": 2}, {"max_new_tokens": 0}, {"max_new_tokens": None}],
    "max_time": [{"max_time": 60.0}],
    "min_length": [{"min_length": 80}, {"min_length": None}],
    "min_new_tokens": [{"min_new_tokens": 3}],
    "min_p": [{"min_p": 0.3, **SAMPLE}],
    "no_repeat_ngram_size": [{"no_repeat_ngram_size": 1}, {"no_repeat_ngram_size": None}],
    "num_assistant_tokens": [{"num_assistant_tokens": 2}],
    "num_assistant_tokens_schedule": [{"num_assistant_tokens_schedule": "constant"}],
    "num_beam_groups": [{"num_beam_groups": 2, **BEAMS}],
    "num_beams": [{"num_beams": 3}, {"num_beams": None}],
    "num_return_sequences": [{"num_return_sequences": 2, **SAMPLE}, {"num_return_sequences": 2, **BEAMS}],
    "output_attentions": [{"output_attentions": True, **SCORES}],
    "output_hidden_states": [{"output_hidden_states": True, **SCORES}],
    "output_logits": [{"output_logits": True, **SCORES}],
    "output_scores": [{"output_scores": True, **SCORES}],
    "pad_token_id": [{"pad_token_id": 7, "eos_token_id": list(range(100))}, {"pad_token_id": None}],
    "penalty_alpha": [{"penalty_alpha": 0.6, "top_k": 4}],
    "prefill_chunk_size": [{"prefill_chunk_size": 7}],
    "prompt_lookup_num_tokens": [{"prompt_lookup_num_tokens": 3}],
    "remove_invalid_values": [{"remove_invalid_values": True}],
    "renormalize_logits": [{"renormalize_logits": True, **SAMPLE}],
    "repetition_penalty": [{"repetition_penalty": 5.0}, {"repetition_penalty": None}],
    "return_dict_in_generate": [SCORES],
    "sequence_bias": [{"sequence_bias": [[[11], 30.0]]}],
    "speculation_type": [{"speculation_type": "dflash"}],
    "stop_strings": [{"stop_strings": ["a", "e", "i"]}],
    "suppress_tokens": [{"suppress_tokens": list(range(5, 120))}, {"suppress_tokens": None}],
    "target_lookbehind": [{"target_lookbehind": 3}],
    "temperature": [{"temperature": 3.0, **SAMPLE}, {"temperature": None, **SAMPLE}],
    "token_healing": [{"token_healing": True}],
    "top_h": [{"top_h": 0.4, **SAMPLE}],
    "top_k": [{"top_k": 2, **SAMPLE}, {"top_k": None, **SAMPLE}],
    "top_p": [{"top_p": 0.5, **SAMPLE}, {"top_p": None, **SAMPLE}],
    "typical_p": [{"typical_p": 0.5, **SAMPLE}],
    "use_cache": [{"use_cache": False}],
    "use_mtp": [{"use_mtp": True}],
    "watermarking_config": [{"watermarking_config": WatermarkingConfig(bias=9.0)}],
}
# What the caller's own generation config has, so that a None takes something away.
DEFAULTS = {
    "eos_token_id": list(range(40)),
    "no_repeat_ngram_size": 1,
    "repetition_penalty": 4.0,
    "suppress_tokens": list(range(40, 90)),
    "top_k": 3,
    "top_p": 0.6,
    "temperature": 2.0,
    "min_length": 90,
}
SPEED_OPTIONS = (
    "assistant_confidence_threshold",
    "assistant_early_exit",
    "max_matching_ngram_size",
    "prompt_lookup_num_tokens",
    "use_mtp",
)
CASES = [(name, number) for name, tries in OPTIONS.items() for number, _ in enumerate(tries)]
ONE, SEVERAL = [(1, "What is this picture?")], [(1, "Who?"), (0, "Who is this?"), (2, "What is this picture?")]
# Where an option is set, and what is asked there: one row alone, or rows with an image, without one and with two.
WHERE = {"arguments": SEVERAL, "generation_config": ONE, "defaults off": ONE}


@pytest.fixture(scope="module")
def with_the_policy_off() -> dict[tuple[str, int, str], Any]:
    """What `run` gave with the policy off, whatever the head finds, by case and where the option was set."""
    return {}


def run(model, batch, tokenizer, where: str, values: dict[str, Any], **kwargs: Any) -> Any:
    """The sequences, or the type of what went wrong."""
    values = {**LENGTH, **values}
    model.generation_config = GenerationConfig(pad_token_id=3)
    if where == "defaults off":
        model.generation_config.update(**DEFAULTS)
    torch.manual_seed(0)
    try:
        if where == "generation_config":
            values = {"generation_config": GenerationConfig(**values)}
        output = model.generate(**batch, **values, tokenizer=tokenizer, **kwargs)
    except Exception as error:
        return type(error)
    return output if isinstance(output, torch.Tensor) else output.sequences


def test_every_option_of_the_installed_transformers_is_tried():
    fields = {name for name in GenerationConfig().to_dict() if name[0] != "_"} - {"transformers_version"}
    assert fields <= OPTIONS.keys()


def run_both(model, batch, tokenizer, where: str, case: tuple[str, int], with_the_policy_off) -> tuple[Any, Any]:
    """With the policy, and with the policy off."""
    name, number = case
    values = OPTIONS[name][number]
    key = (name, number, where)
    if key not in with_the_policy_off:
        with_the_policy_off[key] = run(model, batch, tokenizer, where, values, safety_policy=False)
    return run(model, batch, tokenizer, where, values), with_the_policy_off[key]


@pytest.mark.parametrize(("name", "number"), CASES)
def test_without_a_hint_an_option_does_what_it_does_with_the_policy_off(
    name, number, model_that_finds, prepare, tiny_processor, with_the_policy_off
):
    model = model_that_finds("none", "safe")
    for where, turns in WHERE.items():
        batch = prepare(*turns)
        on, off = run_both(model, batch, tiny_processor.tokenizer, where, (name, number), with_the_policy_off)
        if isinstance(off, torch.Tensor):
            assert isinstance(on, torch.Tensor), (where, on)
            assert torch.equal(on, off), where
        else:
            assert on is off, (where, on)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_beside_hinted_rows_an_option_does_for_the_others_what_it_does_with_the_policy_off(
    name, number, model_that_finds, prepare, tiny_processor, with_the_policy_off
):
    model, batch = model_that_finds("high", "privacy"), prepare(*SEVERAL)
    length = batch["input_ids"].shape[1]
    on, off = run_both(model, batch, tiny_processor.tokenizer, "arguments", (name, number), with_the_policy_off)
    if not isinstance(off, torch.Tensor):
        # What only speeds decoding up, and is refused with the policy off, is left out where there is a hint.
        assert on is off or name in SPEED_OPTIONS
        return
    copies = len(off) // len(batch["input_ids"])
    assert torch.equal(on[:, :length], batch["input_ids"].repeat_interleave(copies, dim=0))
    of_text_row = slice(copies, 2 * copies)
    assert torch.equal(on[of_text_row, length:].unique(dim=0), off[of_text_row, length:].unique(dim=0))


@pytest.mark.parametrize("level", ["none", "high"])
def test_a_penalty_on_the_words_of_the_prompt_knows_them_whatever_the_policy_does(level, model_that_finds, prepare):
    """A penalty so strong that every answer is made of words that the caller wrote, and not of the hint's."""
    model, batch = model_that_finds(level, "privacy" if level == "high" else "safe"), prepare((1, "Who is this?"))
    output = model.generate(**batch, encoder_repetition_penalty=1e9, **{**LENGTH, "max_new_tokens": 8})
    prompt = set(batch["input_ids"][0].tolist())
    assert set(output[0, batch["input_ids"].shape[1] :].tolist()) <= prompt


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"token_healing": True}, "token_healing"), ({"cache_implementation": "paged"}, "paged")],
)
def test_an_option_that_would_lose_the_hint_is_refused(arguments, message, model_that_finds, inputs):
    with pytest.raises(ValueError, match=message):
        model_that_finds("high", "privacy").generate(**inputs, **arguments, **LENGTH)


@pytest.mark.parametrize("policy", [None, {"actions": {"high": "refuse"}}], ids=["hint", "refuse"])
def test_a_max_length_that_leaves_nothing_for_an_answer_is_named(policy, model_that_finds, inputs):
    with pytest.raises(ValueError, match="`max_length` is set to 5"):
        model_that_finds("high", "privacy").generate(**inputs, safety_policy=policy, max_length=5)


@pytest.mark.parametrize("policy", [None, {"actions": {"high": "refuse"}}], ids=["hint", "refuse"])
def test_a_misspelt_option_is_refused_whatever_the_policy_does(policy, model_that_finds, inputs):
    with pytest.raises(ValueError, match="max_new_tokns"):
        model_that_finds("high", "privacy").generate(**inputs, safety_policy=policy, max_new_tokns=5)


@pytest.mark.parametrize("policy", [None, False], ids=["policy", "no policy"])
def test_beams_over_rows_of_several_images_give_what_each_row_gives_alone(policy, model_that_finds, prepare):
    model, turns = model_that_finds("none", "safe"), [(2, "Who?"), (0, "Who is this?"), (1, "What is this picture?")]
    beams = {"num_beams": 3, "num_return_sequences": 2, "safety_policy": policy, **LENGTH}
    batch = model.generate(**prepare(*turns), **beams).unflatten(0, (3, 2))
    for row, turn in enumerate(turns):
        alone = prepare(turn)
        answers = model.generate(**alone, **beams)[:, alone["input_ids"].shape[1] :]
        assert torch.equal(batch[row][:, -answers.shape[1] :], answers)


def test_features_of_the_caller_are_left_as_they_are(model_that_finds, prepare):
    model, batch = model_that_finds("none", "safe"), prepare((2, "Who?"))
    features = {"image": model.get_image_features(batch.pop("pixel_values"))}
    for policy in (None, False):
        model.generate(**batch, mm_encoder_outputs=features, num_beams=2, safety_policy=policy, **LENGTH)
        assert len(features["image"].pooler_output) == 2
