"""`pipeline("safety-classification")`: pictures, with or without a question, to verdicts and decisions."""

import pytest
from transformers import pipeline

from safe_llava import SafeLlavaForSafetyClassification, SafetyPolicy
from safe_llava.models.safety_texts import NEUTRAL_QUESTION


@pytest.fixture(scope="module")
def checkpoint(alarmed_safe_llava, tiny_processor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    alarmed_safe_llava.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pipe(checkpoint):
    return pipeline("safety-classification", model=str(checkpoint), device="cpu")


@pytest.fixture
def samples(make_image) -> list:
    """A picture alone, with a question, no picture, two pictures, a chat."""
    parts = [{"type": "image", "image": make_image(4)}, {"type": "text", "text": "Who is this?"}]
    return [
        make_image(0),
        {"image": make_image(1), "text": "Who is in this picture?"},
        {"text": "Who?"},
        {"images": [make_image(2), make_image(3)], "text": "Which?"},
        [{"role": "user", "content": parts}],
    ]


@pytest.fixture
def assert_same_result(assert_same_verdict):
    def check(first: dict, second: dict) -> None:
        assert first["decision"] == second["decision"]
        assert_same_verdict(*({**result, "decision": None} for result in (first, second)))

    return check


def test_a_full_checkpoint_gives_a_guard(pipe):
    assert type(pipe.model) is SafeLlavaForSafetyClassification


def test_result_is_the_models_verdict_with_the_policys_decision(
    pipe, alarmed_safe_llava, tiny_processor, make_image, assert_same_verdict
):
    result = pipe({"image": make_image(1), "text": "Who is in this picture?"})
    parts = [{"type": "image", "image": make_image(1)}, {"type": "text", "text": "Who is in this picture?"}]
    inputs = tiny_processor.apply_chat_template(
        [{"role": "user", "content": parts}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    decision = result.pop("decision")
    assert_same_verdict(alarmed_safe_llava.assess(**inputs).to_list()[0], result)
    assert decision["action"] == "hint" and decision["level"] == "high"


def test_a_image_alone_is_judged_with_the_neutral_question(pipe, make_image):
    assert pipe(make_image(0)) == pipe({"image": make_image(0), "text": NEUTRAL_QUESTION})


def test_the_question_counts(pipe, make_image):
    assert pipe(make_image(0)) != pipe({"image": make_image(0), "text": "Who is this?"})


@pytest.mark.parametrize("batch_size", [2, 3, 8])
def test_batches_that_mix_all_kinds_of_samples_give_what_each_gives_alone(
    batch_size, pipe, samples, assert_same_result
):
    results = pipe(samples, batch_size=batch_size)
    assert [result["has_image"] for result in results] == [True, True, False, True, True]
    for sample, result in zip(samples, results):
        assert_same_result(pipe(sample), result)


def test_generators_and_paths_are_taken(pipe, make_image, tmp_path):
    paths = [str(tmp_path / f"{seed}.png") for seed in range(3)]
    for seed, path in enumerate(paths):
        make_image(seed).save(path)
    assert list(pipe((path for path in paths), batch_size=2)) == pipe(paths, batch_size=2)


def test_policy_of_the_call_decides(pipe, make_image):
    policy = SafetyPolicy.from_dict({"actions": {"high": "refuse"}}).updated({"temperature": {"level": 3.0}})
    result = pipe(make_image(0), safety_policy=policy)
    assert result["decision"]["action"] == "refuse"
    assert result["level_probs"]["high"] == pytest.approx(1.0)


@pytest.fixture
def chat_pipe(alarmed_safe_llava, tiny_processor):
    return pipeline("image-text-to-text", model=alarmed_safe_llava, processor=tiny_processor)


@pytest.fixture
def chat(make_image):
    return [{"role": "user", "content": [{"type": "image", "image": make_image(0)}, {"type": "text", "text": "Who?"}]}]


@pytest.mark.parametrize("place", ["call", "constructor", "generate_kwargs"])
def test_a_policy_that_is_given_to_the_chat_pipeline_is_obeyed(
    place, chat, chat_pipe, alarmed_safe_llava, tiny_processor
):
    policy = {"actions": {"high": "refuse"}}
    given = {"generate_kwargs": {"safety_policy": policy}} if place == "generate_kwargs" else {"safety_policy": policy}
    if place == "constructor":
        chat_pipe = pipeline("image-text-to-text", model=alarmed_safe_llava, processor=tiny_processor, **given)
        given = {}
    for options in ({}, {"max_new_tokens": 300}):
        (reply,) = chat_pipe(text=chat, return_full_text=False, **options, **given)
        assert reply["generated_text"].strip() in SafetyPolicy().refusals.values()


@pytest.mark.parametrize("policy", [True, 0, "policy.json", []], ids=repr)
def test_what_is_no_policy_is_named_with_what_is(policy, chat, chat_pipe, pipe, make_image):
    with pytest.raises(TypeError, match="`safety_policy` is a `SafetyPolicy`"):
        chat_pipe(text=chat, safety_policy=policy)
    with pytest.raises(TypeError, match="`safety_policy` is a `SafetyPolicy`"):
        pipe(make_image(0), safety_policy=policy)


def test_a_policy_is_given_once(chat, chat_pipe):
    with pytest.raises(ValueError, match="given twice"):
        chat_pipe(text=chat, safety_policy=False, generate_kwargs={"safety_policy": None})


def test_a_loaded_guard_works_with_its_processor(pipe, tiny_processor, make_image):
    other = pipeline("safety-classification", model=pipe.model, processor=tiny_processor, device="cpu")
    assert other(make_image(0)) == pipe(make_image(0))


def test_a_saved_pipeline_loads_again(pipe, make_image, assert_same_result, tmp_path):
    pipe.save_pretrained(tmp_path)
    pipe.processor.save_pretrained(tmp_path)
    again = pipeline("safety-classification", model=str(tmp_path), device="cpu")
    assert_same_result(again(make_image(0)), pipe(make_image(0)))


@pytest.mark.parametrize("sample", [{"picture": "a.png"}, {}, {"image": None, "text": ""}])
def test_a_sample_without_image_or_text_is_refused(sample, pipe):
    with pytest.raises(ValueError, match="image"):
        pipe(sample)


EMPTY = {
    "None": None,
    "no image": {"image": None, "text": "Who?"},
    "no images": {"images": None, "text": "Who?"},
    "an empty list": {"images": [], "text": "Who?"},
    "a list of nothing": {"images": [None], "text": "Who?"},
    "an empty name": {"image": "", "text": "Who?"},
    "not a number": {"image": float("nan"), "text": "Who?"},
    "a row without bytes": {"image": {"bytes": None, "path": None}, "text": "Who?"},
    "a chat with a part of no image": [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "?"}]}
    ],
    "a chat with a null": [{"role": "user", "content": [{"type": "image", "image": None}]}],
    "a chat with an unknown part": [{"role": "user", "content": [{"type": "input_image", "image_url": "a.png"}]}],
    "a chat without content": [{"role": "user", "content": []}],
}


@pytest.mark.parametrize("sample", EMPTY.values(), ids=EMPTY)
def test_an_image_that_is_missing_is_refused_and_not_assessed_as_text(pipe, make_image, sample):
    with pytest.raises((ValueError, TypeError)):
        pipe(sample)
    with pytest.raises((ValueError, TypeError)):
        pipe([{"image": make_image(0), "text": "Who?"}, sample], batch_size=2)
