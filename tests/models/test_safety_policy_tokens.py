"""What a policy says is what the model is given: its texts as token ids, or an error."""

import copy
import json
import logging

import pytest
from transformers import pipeline

from safe_llava import SafeLlavaForConditionalGeneration, SafeLlavaForSafetyClassification, SafetyPolicy
from safe_llava.checkpoints import load_safe_llava
from safe_llava.models.safety_policy_tokens import tokenize_policy


pytestmark = pytest.mark.own_logic


@pytest.fixture
def model(tiny_safe_llava) -> SafeLlavaForConditionalGeneration:
    return copy.deepcopy(tiny_safe_llava)


@pytest.fixture
def checkpoint(tiny_safe_llava, tiny_processor, tmp_path):
    """A folder whose `config.json` a function may change."""

    def save(change):
        tiny_safe_llava.save_pretrained(tmp_path)
        tiny_processor.save_pretrained(tmp_path)
        path = tmp_path / "config.json"
        config = json.loads(path.read_text())
        change(config)
        path.write_text(json.dumps(config))
        return tmp_path

    return save


TEXTS = {
    "an image": ("Take care. <image>", "special token '<image>'"),
    "an end": ("</s>", "special token '</s>'"),
    "padding inside": ("Take<pad>care", "special token '<pad>'"),
    "a beginning": ("<s>Take care", "special token '<s>'"),
    "unknown signs": ("请谨慎回答", "unknown tokens"),
}


@pytest.mark.parametrize(("text", "message"), TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("field", ["hints.privacy.low", "refusals.fairness", "untrusted_refusal"])
def test_a_text_that_does_not_become_words_is_refused_by_the_path_of_its_field(
    text, message, field, model, tiny_processor
):
    changes: object = text
    for name in reversed(field.split(".")):
        changes = {name: changes}
    before = copy.deepcopy(model.config.to_dict())
    with pytest.raises(ValueError, match=message) as error:
        model.set_safety_policy(changes, tiny_processor)
    assert field in str(error.value)
    assert model.config.to_dict() == before


def test_every_text_is_given_back_by_its_ids(tiny_processor):
    made = tokenize_policy(SafetyPolicy(), tiny_processor)
    for texts in made["texts"].values():
        assert [tiny_processor.tokenizer.decode(ids).strip() for ids in texts.values()] == list(texts)


def hints_of(config) -> dict:
    return config["safety_policy_token_ids"]["texts"]["hint"]


def swap(config) -> None:
    hints = hints_of(config)
    first, second, *_ = hints
    hints[first], hints[second] = hints[second], hints[first]


def fill(value):
    return lambda config: hints_of(config).update(dict.fromkeys(hints_of(config), value))


def of_one(change):
    def apply(config) -> None:
        first = next(iter(hints_of(config)))
        hints_of(config)[first] = change(hints_of(config)[first])

    return apply


CHANGES = {
    "emptied": fill([]),
    "null": fill(None),
    "a text": fill("Take care."),
    "foreign": fill([11, 12]),
    "spaces": fill([5, 5, 5]),
    "image tokens": of_one(lambda ids: [*ids, 4]),
    "too large": of_one(lambda ids: [*ids, 10**9]),
    "negative": of_one(lambda ids: [-1, *ids]),
    "a float": of_one(lambda ids: [float(ids[0]), *ids[1:]]),
    "true": of_one(lambda ids: [True, *ids[1:]]),
    "truncated": of_one(lambda ids: ids[:-1]),
    "repeated": of_one(lambda ids: ids * 2),
    "nested": of_one(lambda ids: [ids]),
    "swapped": swap,
    "one missing": lambda config: hints_of(config).pop(next(iter(hints_of(config)))),
    "no hints": lambda config: config["safety_policy_token_ids"]["texts"].pop("hint"),
    "no texts": lambda config: config["safety_policy_token_ids"].pop("texts"),
    "no turn": lambda config: config["safety_policy_token_ids"].update(assistant_turn=[]),
    "another turn": lambda config: config["safety_policy_token_ids"].update(assistant_turn=[11]),
    "no digest": lambda config: config["safety_policy_token_ids"].pop("digest"),
    "no ids": lambda config: config.update(safety_policy_token_ids=None),
    "another text": lambda config: config["safety_policy"]["hints"]["privacy"].update(low="Tell nobody."),
    "another policy": lambda config: config["safety_policy"].update(untrusted_refusal="Ask me later."),
    "a wrong policy": lambda config: config["safety_policy"]["temperature"].update(level=1e40),
    "half a policy": lambda config: config["safety_policy"].update(actions={"high": "block"}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_stored_ids_that_are_not_those_of_the_texts_are_refused_when_the_model_is_loaded(change, checkpoint):
    with pytest.raises(ValueError, match=r"[Ss]afety policy"):
        SafeLlavaForSafetyClassification.from_pretrained(checkpoint(change))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_ids_that_change_after_loading_are_refused_when_the_policy_is_used(change, model, inputs):
    config = model.config.to_dict()
    change(config)
    model.config.safety_policy = config["safety_policy"]
    model.config.safety_policy_token_ids = config["safety_policy_token_ids"]
    with pytest.raises(ValueError, match=r"[Ss]afety policy"):
        model.generate(**inputs, max_new_tokens=2)


def test_the_message_says_how_to_attach_the_policy_anew(checkpoint, tiny_processor, inputs):
    folder = checkpoint(lambda config: config["safety_policy_token_ids"].pop("digest"))
    with pytest.raises(ValueError, match=r"safety_policy=None, safety_policy_token_ids=None"):
        SafeLlavaForConditionalGeneration.from_pretrained(folder)
    model = SafeLlavaForConditionalGeneration.from_pretrained(folder, safety_policy=None, safety_policy_token_ids=None)
    model.set_safety_policy(SafetyPolicy(), tiny_processor)
    model.save_pretrained(folder)
    SafeLlavaForConditionalGeneration.from_pretrained(folder).generate(**inputs, max_new_tokens=2)


@pytest.mark.parametrize("change", ["tokenizer", "chat template"])
def test_a_processor_that_makes_other_tokens_is_refused_where_model_and_processor_meet(
    change, model, tiny_processor, checkpoint
):
    other = copy.deepcopy(tiny_processor)
    if change == "tokenizer":
        other.tokenizer.add_tokens(["picture"])
    else:
        other.chat_template = other.chat_template.replace("'ASSISTANT:'", "'MODEL:'")
    folder = checkpoint(lambda config: None)
    for task in ("image-text-to-text", "safety-classification"):
        guard = SafeLlavaForSafetyClassification.from_pretrained(folder)
        with pytest.raises(ValueError, match="this processor"):
            pipeline(task, model=model if task == "image-text-to-text" else guard, processor=other, device="cpu")
    other.save_pretrained(folder)
    with pytest.raises(ValueError, match="this processor"):
        load_safe_llava(folder, device="cpu")


@pytest.mark.parametrize("model_class", [SafeLlavaForConditionalGeneration, SafeLlavaForSafetyClassification])
def test_a_trained_head_without_a_policy_is_said_once_a_load(model_class, checkpoint, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    folder = checkpoint(lambda config: config.update(safety_policy=None, safety_policy_token_ids=None))
    model_class.from_pretrained(folder)
    said = [record for record in caplog.records if "no safety policy" in record.getMessage()]
    assert len(said) == 1
