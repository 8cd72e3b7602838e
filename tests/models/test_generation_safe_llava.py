import copy

import pytest
import torch
from steering import GREEDY, REFUSE, count_calls, hint_of, images_of
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    StaticCache,
    TextIteratorStreamer,
    TextStreamer,
    pipeline,
)

from safe_llava import SafetyPolicy
from safe_llava.models.outputs_safe_llava import CACHE_NAME


DECODING = {
    "greedy": {},
    "sampling": {"do_sample": True, "temperature": 0.8},
    "beams": {"num_beams": 3},
    "several sequences": {"num_beams": 3, "num_return_sequences": 2},
    "several samples": {"do_sample": True, "num_return_sequences": 3},
    "static cache": {"cache_implementation": "static"},
    "no cache": {"use_cache": False},
}


@pytest.mark.parametrize("arguments", DECODING.values(), ids=DECODING.keys())
def test_without_a_hint_the_tokens_are_those_of_the_policy_switched_off(arguments, model_that_finds, inputs):
    model, outputs = model_that_finds("none", "safe"), []
    for policy in (None, False):
        torch.manual_seed(0)
        outputs.append(model.generate(**inputs, safety_policy=policy, **{**GREEDY, **arguments}))
    assert torch.equal(*outputs)


@pytest.mark.parametrize("arguments", DECODING.values(), ids=DECODING.keys())
@pytest.mark.parametrize("policy", [None, REFUSE], ids=["hint", "refuse"])
def test_output_is_the_callers_prompt_and_the_answer(policy, arguments, model_that_finds, inputs):
    output = model_that_finds("high", "privacy").generate(**inputs, safety_policy=policy, **{**GREEDY, **arguments})
    copies = arguments.get("num_return_sequences", 1)
    assert output.shape[0] == copies
    assert torch.equal(output[:, : inputs["input_ids"].shape[1]], inputs["input_ids"].repeat(copies, 1))


def test_hint_stands_between_the_question_and_the_assistants_turn(model_that_finds, inputs, tiny_processor):
    model = model_that_finds("high", "privacy")
    turn = tiny_processor.tokenizer(" ASSISTANT:", add_special_tokens=False)["input_ids"]
    ids = inputs["input_ids"][0].tolist()
    by_hand = torch.tensor([ids[: -len(turn)] + hint_of(model, "high", "privacy") + turn])
    expected = model.generate(by_hand, **images_of(inputs), safety_policy=False, **GREEDY)
    steered = model.generate(**inputs, **GREEDY)
    assert torch.equal(steered[:, len(ids) :], expected[:, by_hand.shape[1] :])


def test_vision_tower_runs_once_whatever_the_policy_does(model_that_finds, inputs):
    for level, risk_type, policy in (("none", "safe", None), ("high", "privacy", None), ("high", "privacy", REFUSE)):
        model = model_that_finds(level, risk_type)
        assert model.explain_distrust() is None  # The first verdict would look into it.
        calls = count_calls(model.model.vision_tower)
        model.generate(**inputs, safety_policy=policy, **GREEDY)
        assert len(calls) == 1
        model.model.vision_tower._forward_pre_hooks.clear()


def test_refusal_runs_no_decoder_layer(model_that_finds, inputs, tiny_processor):
    model = model_that_finds("high", "privacy")
    calls = count_calls(model.model.language_model)
    output = model.generate(**inputs, safety_policy=REFUSE, max_new_tokens=64)
    answer = tiny_processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answer.strip() == SafetyPolicy().refusals["privacy"]
    assert calls == []


@pytest.mark.parametrize("num_beams", [1, 2])
def test_a_batch_that_is_refused_as_a_whole_has_the_output_class_of_its_search(num_beams, model_that_finds, inputs):
    model = model_that_finds("high", "privacy")
    options = {"num_beams": num_beams, "return_dict_in_generate": True, "max_new_tokens": 4}
    refused = model.generate(**inputs, safety_policy=REFUSE, **options)
    assert type(refused) is type(model.generate(**inputs, safety_policy=False, **options))


def test_refused_rows_leave_the_batch_before_the_language_model_runs(model_that_finds, prepare):
    model = model_that_finds("high", "privacy")
    batch_sizes = []
    model.model.language_model.register_forward_pre_hook(
        lambda module, args, kwargs: batch_sizes.append(len(kwargs["inputs_embeds"])), with_kwargs=True
    )
    batch = prepare((1, "Who?"), (0, "Who is this?"), (2, "What is this?"))
    output = model.generate(**batch, safety_policy=REFUSE, return_dict_in_generate=True, **GREEDY)
    assert [decision.action for decision in output.safety_decisions] == ["refuse", "answer", "refuse"]
    assert set(batch_sizes) == {1}
    assert torch.equal(output.sequences[:, : batch["input_ids"].shape[1]], batch["input_ids"])


def test_each_row_of_a_mixed_batch_gets_the_answer_it_gets_alone(model_that_finds, prepare):
    model = model_that_finds("high", "privacy")
    turns = [(1, "Who?"), (0, "Who is this?"), (2, "What is this picture?")]
    batch = model.generate(**prepare(*turns), **GREEDY)
    for index, turn in enumerate(turns):
        alone = prepare(turn)
        answer = model.generate(**alone, **GREEDY)[0, alone["input_ids"].shape[1] :]
        assert torch.equal(batch[index, -len(answer) :], answer)


def test_text_only_prompt_is_answered_as_with_the_policy_off(model_that_finds, prepare):
    model, batch = model_that_finds("high", "privacy"), prepare((0, "Who is this?"))
    assert torch.equal(model.generate(**batch, **GREEDY), model.generate(**batch, safety_policy=False, **GREEDY))


@pytest.mark.parametrize("level", ["none", "high"])
def test_assisted_decoding_gives_the_greedy_tokens(level, model_that_finds, inputs):
    model = model_that_finds(level, "privacy" if level == "high" else "safe")
    assistant = copy.deepcopy(model)
    assisted = model.generate(**inputs, assistant_model=assistant, **GREEDY)
    assert torch.equal(assisted, model.generate(**inputs, **GREEDY))


@pytest.mark.parametrize("policy", [None, REFUSE], ids=["hint", "refuse"])
def test_streamer_gets_the_answer_and_nothing_of_the_hint(policy, model_that_finds, inputs, tiny_processor, capsys):
    model = model_that_finds("high", "privacy")
    streamer = TextStreamer(tiny_processor.tokenizer, skip_prompt=True, skip_special_tokens=True)
    output = model.generate(**inputs, safety_policy=policy, streamer=streamer, **GREEDY)
    answer = tiny_processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert capsys.readouterr().out.strip() == answer.strip()


def test_logits_processors_see_the_callers_prompt_only(model_that_finds, inputs):
    class Recorder(LogitsProcessor):
        prompts: list = []  # noqa: RUF012

        def __call__(self, input_ids, scores):
            self.prompts.append(input_ids[:, : inputs["input_ids"].shape[1]].clone())
            return scores

    recorder = Recorder()
    model_that_finds("high", "privacy").generate(**inputs, logits_processor=LogitsProcessorList([recorder]), **GREEDY)
    assert all(torch.equal(prompt, inputs["input_ids"]) for prompt in recorder.prompts)


def test_max_length_counts_the_callers_prompt_without_the_hint(model_that_finds, inputs):
    length = inputs["input_ids"].shape[1] + 3
    output = model_that_finds("high", "privacy").generate(
        **inputs, max_length=length, min_length=length, do_sample=False
    )
    assert output.shape[1] == length


def test_generation_config_of_the_caller_is_obeyed_and_left_alone(model_that_finds, inputs):
    config = GenerationConfig(max_new_tokens=4, min_new_tokens=4, do_sample=False)
    before = config.to_dict()
    output = model_that_finds("high", "privacy").generate(**inputs, generation_config=config)
    assert output.shape[1] == inputs["input_ids"].shape[1] + 4
    assert config.to_dict() == before


def test_output_carries_verdict_and_decisions_and_no_cache_that_holds_a_hint(model_that_finds, inputs):
    output = model_that_finds("high", "privacy").generate(**inputs, return_dict_in_generate=True, **GREEDY)
    assert (output.safety_verdict.levels, output.safety_verdict.types) == (["high"], ["privacy"])
    assert output.safety_decisions[0].types == ("privacy",)
    assert getattr(output, CACHE_NAME) is None


@pytest.mark.parametrize("name", ["cache", "past_key_values"])
def test_forward_takes_a_cache_under_either_name(name, model_that_finds, inputs):
    model = model_that_finds("none", "safe")
    input_ids, images = inputs["input_ids"], images_of(inputs)
    whole = model(input_ids, **images).logits[:, -1]
    first = model(input_ids[:, :-1], **images, use_cache=True)
    last = model(input_ids[:, -1:], **{name: getattr(first, CACHE_NAME)}, output_safety_logits=False)
    torch.testing.assert_close(last.logits[:, -1], whole, atol=1e-4, rtol=1e-4)


def test_a_cache_of_the_callers_own_size_gives_way_to_a_hint(model_that_finds, inputs):
    model = model_that_finds("high", "privacy")
    size = inputs["input_ids"].shape[1] + GREEDY["max_new_tokens"]
    cache = StaticCache(config=model.config.text_config, max_cache_len=size)
    torch.testing.assert_close(
        model.generate(**inputs, **{CACHE_NAME: cache}, **GREEDY), model.generate(**inputs, **GREEDY)
    )


def test_a_streamer_never_passes_one_rows_answer_for_all(model_that_finds, inputs, tiny_processor):
    model = model_that_finds("high", "privacy")
    harmless = inputs["input_ids"].clone()
    harmless[harmless == model.config.image_token_id] = tiny_processor.tokenizer.convert_tokens_to_ids("▁")
    both = {
        **images_of(inputs),
        "input_ids": torch.cat([inputs["input_ids"], harmless]),
        "attention_mask": torch.ones_like(torch.cat([inputs["input_ids"], harmless])),
    }
    streamer = TextIteratorStreamer(tiny_processor.tokenizer, timeout=1)
    with pytest.raises(ValueError, match="one prompt at a time"):
        model.generate(**both, streamer=streamer, safety_policy=REFUSE, **GREEDY)


def test_policy_of_one_call_changes_parts_of_the_models_own(model_that_finds, inputs):
    model = model_that_finds("high", "privacy")
    call = {"return_dict_in_generate": True, **GREEDY}
    output = model.generate(**inputs, safety_policy={"types": {"privacy": {"enabled": False}}}, **call)
    assert output.safety_decisions[0].action == "answer"
    assert model.generate(**inputs, **call).safety_decisions[0].action == "hint"


def test_attached_policy_comes_back_from_disk(model_that_finds, inputs, tiny_processor, tmp_path):
    model = model_that_finds("high", "privacy")
    model.set_safety_policy({**REFUSE, "refusals": {"privacy": "I cannot say who this is."}}, tiny_processor)
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    assert loaded.safety_policy == model.safety_policy
    output = loaded.generate(**inputs, max_new_tokens=64)
    assert "I cannot say who this is." in tiny_processor.decode(output[0], skip_special_tokens=True)


@pytest.mark.parametrize("level", ["low", "medium", "high"])
def test_pipeline_is_safe_by_default_and_its_answers_hold_no_hint(level, model_that_finds, tiny_processor, make_image):
    model = model_that_finds(level, "privacy")
    lengths = count_calls(model.model.language_model)
    pipe = pipeline("image-text-to-text", model=model, processor=tiny_processor)
    messages = [
        {"role": "user", "content": [{"type": "image", "image": make_image(0)}, {"type": "text", "text": "Who?"}]}
    ]
    answer = pipe(text=messages, return_full_text=False, generate_kwargs=dict(GREEDY))[0]["generated_text"]
    prompt = tiny_processor.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    assert lengths[0] > prompt["input_ids"].shape[1]
    expected = model.generate(**prompt, **GREEDY)[0, prompt["input_ids"].shape[1] :]
    assert answer.strip() == tiny_processor.decode(expected, skip_special_tokens=True).strip()
