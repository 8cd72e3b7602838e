"""Which policy's temperature the logits of a verdict are divided by."""

import copy

import pytest
import torch

from safe_llava import SafetyPolicy


COOL = {"temperature": {"level": 2.0, "type": 4.0}}


@pytest.fixture
def inputs(tiny_processor, make_image):
    parts = [{"type": "image", "image": make_image(0)}, {"type": "text", "text": "Who is this?"}]
    return tiny_processor.apply_chat_template(
        [{"role": "user", "content": parts}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )


@pytest.fixture
def model(tiny_safe_llava, tiny_processor):
    model = copy.deepcopy(tiny_safe_llava)
    model.set_safety_policy(COOL, tiny_processor)
    return model


def test_forward_returns_raw_logits(model, tiny_safe_llava, inputs):
    assert torch.equal(model(**inputs).type_logits, tiny_safe_llava(**inputs).type_logits)


def test_assess_divides_by_the_stored_temperature(model, inputs):
    raw, verdict = model(**inputs), model.assess(**inputs)
    torch.testing.assert_close(verdict.level_logits, raw.level_logits / 2.0)
    torch.testing.assert_close(verdict.type_logits, raw.type_logits / 4.0)


def test_assess_without_a_policy_gives_raw_logits(model, inputs):
    raw = model(**inputs)
    torch.testing.assert_close(model.assess(**inputs, safety_policy=False).type_logits, raw.type_logits)
    model.set_safety_policy(None)
    torch.testing.assert_close(model.assess(**inputs).type_logits, raw.type_logits)


def test_generate_divides_by_the_temperature_of_its_own_policy(model, inputs):
    raw = model(**inputs)
    output = model.generate(
        **inputs, safety_policy={"temperature": {"type": 0.5}}, max_new_tokens=1, return_dict_in_generate=True
    )
    torch.testing.assert_close(output.safety_verdict.level_logits, raw.level_logits / 2.0)
    torch.testing.assert_close(output.safety_verdict.type_logits, raw.type_logits / 0.5)


def test_thresholds_act_on_calibrated_probabilities(alarmed_safe_llava, inputs):
    def decide(temperature: float) -> str:
        policy = SafetyPolicy.from_dict({"temperature": {"type": temperature}})
        options = {"max_new_tokens": 1, "return_dict_in_generate": True}
        return alarmed_safe_llava.generate(**inputs, safety_policy=policy, **options).safety_decisions[0]

    probs = alarmed_safe_llava.assess(**inputs, safety_policy={"temperature": {"type": 0.01}}).type_probs[0]
    assert probs.max() > 0.999
    is_safe = int(probs.argmax()) == 6
    assert (decide(0.01).action == "answer") == is_safe
    assert decide(100).action == "hint"  # six of seven equal probabilities are risks: 6 / 7 / 0.5 > 1


def test_a_temperature_never_changes_the_most_probable_class(model, tiny_safe_llava, inputs):
    ours, raw = model.assess(**inputs), tiny_safe_llava.assess(**inputs)
    assert (ours.levels, ours.types) == (raw.levels, raw.types)
