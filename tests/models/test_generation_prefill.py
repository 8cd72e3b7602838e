"""A prompt that ends in words of the assistant: where the hint goes, and what becomes of these words."""

import logging

import pytest
import torch
from steering import GREEDY, hint_of
from transformers import pipeline


@pytest.fixture
def prepare_prefill(tiny_processor, make_image):
    """A chat of a question, earlier turns before it, and the beginning of the assistant's answer."""

    def prepare(words: str | None, earlier: tuple[str, ...] = (), **kwargs):
        image = {"type": "image", "image": make_image(0)}
        turns = [*earlier, "Who is this?", *([words] if words is not None else [])]
        chat = [
            {"role": ("user", "assistant")[index % 2], "content": [{"type": "text", "text": text}]}
            for index, text in enumerate(turns)
        ]
        chat[0]["content"].insert(0, image)
        options = {"tokenize": True, "return_dict": True, "return_tensors": "pt", **kwargs}
        return tiny_processor.apply_chat_template(chat, **options)

    return prepare


@pytest.mark.parametrize("words", ["It is", "The picture shows a", " A", "1", "?", "\n\nA"])
@pytest.mark.parametrize("earlier", [(), ("What is this?", "A circle.")], ids=["one turn", "two turns"])
def test_a_hinted_answer_is_the_one_to_the_question_alone(words, earlier, model_that_finds, prepare_prefill):
    model = model_that_finds("high", "privacy")
    begun = prepare_prefill(words, earlier, continue_final_message=True)
    asked = prepare_prefill(None, earlier, add_generation_prompt=True)
    answers = []
    for inputs in (begun, asked):
        output = model.generate(**inputs, **GREEDY)
        length = inputs["input_ids"].shape[1]
        assert torch.equal(output[:, :length], inputs["input_ids"])
        answers.append(output[:, length:])
    assert torch.equal(*answers)


def test_the_language_model_reads_question_hint_and_turn(model_that_finds, prepare_prefill):
    model, inputs = model_that_finds("high", "privacy"), prepare_prefill("It is", continue_final_message=True)
    asked = prepare_prefill(None, add_generation_prompt=True)["input_ids"][0].tolist()
    turn = model.config.safety_policy_token_ids["assistant_turn"]
    by_hand = torch.tensor([asked[: -len(turn)] + hint_of(model, "high", "privacy") + turn])
    expected = model.generate(by_hand, pixel_values=inputs["pixel_values"], safety_policy=False, **GREEDY)
    steered = model.generate(**inputs, **GREEDY)
    assert torch.equal(steered[:, inputs["input_ids"].shape[1] :], expected[:, by_hand.shape[1] :])


def test_without_a_hint_the_answer_goes_on_from_the_words(model_that_finds, prepare_prefill):
    model, inputs = model_that_finds("none", "safe"), prepare_prefill("It is", continue_final_message=True)
    assert torch.equal(model.generate(**inputs, **GREEDY), model.generate(**inputs, safety_policy=False, **GREEDY))


def test_a_prompt_that_ends_in_the_users_turn_gets_the_hint_at_its_end(model_that_finds, prepare_prefill):
    model = model_that_finds("high", "privacy")
    inputs = prepare_prefill(None, ("What is this?", "A circle."))
    by_hand = torch.tensor([inputs["input_ids"][0].tolist() + hint_of(model, "high", "privacy")])
    expected = model.generate(by_hand, pixel_values=inputs["pixel_values"], safety_policy=False, **GREEDY)
    steered = model.generate(**inputs, **GREEDY)
    assert torch.equal(steered[:, inputs["input_ids"].shape[1] :], expected[:, by_hand.shape[1] :])


def test_words_that_are_not_read_are_said_once(model_that_finds, prepare_prefill, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    from transformers.utils import logging as transformers_logging

    transformers_logging.warning_once.cache_clear()
    model = model_that_finds("high", "privacy")
    model.generate(**prepare_prefill(None, add_generation_prompt=True), **GREEDY)
    assert not [record for record in caplog.records if "words of the assistant" in record.getMessage()]
    for _ in range(2):
        model.generate(**prepare_prefill("It is", continue_final_message=True), **GREEDY)
    assert len([record for record in caplog.records if "words of the assistant" in record.getMessage()]) == 1


@pytest.mark.parametrize("words", ["It is", "The picture shows a"])
def test_the_pipeline_which_continues_unasked_gives_the_hinted_answer(
    words, model_that_finds, tiny_processor, make_image, prepare_prefill
):
    model = model_that_finds("high", "privacy")
    content = [{"type": "image", "image": make_image(0)}, {"type": "text", "text": "Who is this?"}]
    chat = [
        {"role": "user", "content": content},
        {"role": "assistant", "content": [{"type": "text", "text": words}]},
    ]
    pipe = pipeline("image-text-to-text", model=model, processor=tiny_processor, device="cpu")
    answer = pipe(text=chat, return_full_text=False, generate_kwargs=dict(GREEDY))[0]["generated_text"]
    asked = prepare_prefill(None, add_generation_prompt=True)
    expected = model.generate(**asked, **GREEDY)[0, asked["input_ids"].shape[1] :]
    assert answer.strip() == tiny_processor.decode(expected, skip_special_tokens=True).strip()
