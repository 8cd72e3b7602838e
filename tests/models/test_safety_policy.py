import json

import pytest

from safe_llava import SafetyPolicy
from safe_llava.models.safety_labels import RISK_LEVELS, RISK_TYPES
from safe_llava.models.safety_policy import read_policy_changes


LEVELS = [[float(level == each) for each in range(4)] for level in range(4)]
"""Probabilities of a head that is sure of a level."""


def probs(**by_type: float) -> list[float]:
    risks = [by_type.get(name, 0.0) for name in RISK_TYPES]
    return [*risks, 1.0 - sum(risks)]


def test_default_policy_has_a_hint_of_its_own_for_each_of_the_18_pairs():
    hints = [text for by_level in SafetyPolicy().hints.values() for text in by_level.values()]
    assert len(set(hints)) == 18


@pytest.mark.parametrize("level", [1, 2, 3])
def test_risky_row_gets_the_hint_of_its_level_and_type(level):
    policy = SafetyPolicy()
    decision = policy.decide(LEVELS[level], probs(privacy=0.9))
    assert decision.action == "hint"
    assert decision.texts == (policy.hints["privacy"][RISK_LEVELS[level - 1]],)


def test_level_none_is_answered_however_high_a_type_probs():
    assert SafetyPolicy().decide(LEVELS[0], probs(privacy=1.0)).action == "answer"


def test_high_level_without_a_type_over_its_threshold_is_answered():
    assert SafetyPolicy().decide(LEVELS[3], probs(privacy=0.49)).action == "answer"


def test_threshold_is_reached_at_its_very_value():
    policy = SafetyPolicy.from_dict({"types": {"privacy": {"threshold": 0.8}}})
    assert [policy.decide(LEVELS[3], probs(privacy=prob)).action for prob in (0.79, 0.8)] == ["answer", "hint"]


def test_type_that_is_switched_off_is_answered():
    policy = SafetyPolicy.from_dict({"types": {"politics": {"enabled": False}}})
    assert policy.decide(LEVELS[3], probs(politics=1.0)).action == "answer"


def test_what_is_left_beside_a_type_that_is_switched_off_is_no_risk():
    policy = SafetyPolicy.from_dict({"types": {"politics": {"enabled": False}}})
    assert policy.decide(LEVELS[3], probs(politics=0.97, privacy=0.03)).action == "answer"


def test_type_that_is_switched_off_does_not_hide_another_over_its_threshold():
    policy = SafetyPolicy.from_dict({"types": {"politics": {"enabled": False}}})
    assert policy.decide(LEVELS[3], probs(politics=0.45, privacy=0.55)).types == ("privacy",)


def test_risk_that_is_split_between_types_is_acted_on_by_the_strongest():
    assert SafetyPolicy().decide(LEVELS[3], probs(politics=0.3, privacy=0.4, fairness=0.2)).types == ("privacy",)


def test_weak_types_that_do_not_add_up_to_a_threshold_are_answered():
    assert SafetyPolicy().decide(LEVELS[3], probs(politics=0.2, privacy=0.2)).action == "answer"


SPLIT = [0.4, 0.1, 0.3, 0.2]
"""None is the most probable, and some risk is at 60 %, most of it medium."""


def test_the_most_probable_level_counts_where_no_threshold_is_set():
    assert SafetyPolicy().decide(SPLIT, probs(privacy=0.9)).action == "answer"


@pytest.mark.parametrize(("threshold", "level"), [(0.59, "medium"), (0.61, "none"), (1.0, "none")])
def test_from_a_threshold_on_the_most_probable_risky_level_counts(threshold, level):
    policy = SafetyPolicy(level_threshold=threshold)
    assert policy.decide(SPLIT, probs(privacy=0.9)).level == level


def test_a_level_that_a_threshold_lets_count_is_answered_where_its_action_says_so():
    policy = SafetyPolicy.from_dict({"level_threshold": 0.5, "actions": {"medium": "answer", "low": "refuse"}})
    assert policy.decide(SPLIT, probs(privacy=0.9)).action == "answer"


def test_a_threshold_of_the_level_acts_beside_those_of_the_types():
    assert SafetyPolicy(level_threshold=0.1).decide(SPLIT, probs(privacy=0.4)).action == "answer"


@pytest.mark.parametrize("action", ["answer", "hint", "refuse"])
def test_each_level_has_its_own_action(action):
    policy = SafetyPolicy.from_dict({"actions": {"medium": action}})
    assert policy.decide(LEVELS[2], probs(privacy=0.9)).action == action
    assert policy.decide(LEVELS[1], probs(privacy=0.9)).action == "hint"


def test_strongest_of_several_risks_is_acted_on_by_default():
    assert SafetyPolicy().decide(LEVELS[3], probs(privacy=0.4, fairness=0.6)).types == ("fairness",)


def test_all_of_several_risks_are_acted_on_where_the_policy_says_so():
    changes = {"several_risks": "all", "actions": {"high": "refuse"}, "types": {"privacy": {"threshold": 0.4}}}
    policy = SafetyPolicy.from_dict(changes)
    decision = policy.decide(LEVELS[3], probs(privacy=0.4, fairness=0.6))
    assert decision.types == ("fairness", "privacy")
    assert decision.texts == (policy.refusals["fairness"], policy.refusals["privacy"])


def test_untrusted_verdict_is_refused_though_level_and_types_say_safe():
    policy = SafetyPolicy()
    decision = policy.decide(LEVELS[0], probs(), trusted=False)
    assert (decision.action, decision.texts) == ("refuse", (policy.untrusted_refusal,))


@pytest.mark.parametrize(("choice", "action"), [("refuse", "refuse"), ("assess", "answer")])
def test_an_unfamiliar_image_is_refused_unless_the_policy_assesses_it(choice, action):
    policy = SafetyPolicy(unfamiliar=choice)
    assert policy.decide(LEVELS[0], probs(), unfamiliar=True).action == action
    assert policy.decide(LEVELS[0], probs(), trusted=False, unfamiliar=True).action == "refuse"


def test_untrusted_verdict_is_answered_only_when_every_type_is_off():
    policy = SafetyPolicy.from_dict({"types": {name: {"enabled": False} for name in RISK_TYPES}})
    assert policy.decide(LEVELS[3], probs(privacy=1.0), trusted=False).action == "answer"


def test_policy_survives_json(tmp_path):
    policy = SafetyPolicy.from_dict({"hints": {"privacy": {"low": "Bitte mit Vorsicht antworten. 请谨慎回答。"}}})
    policy.save_json(tmp_path / "policy.json")
    assert SafetyPolicy.from_json_file(tmp_path / "policy.json") == policy


def test_policy_stored_before_there_were_temperatures_has_temperature_1():
    stored = SafetyPolicy().to_dict()
    del stored["temperature"]
    assert SafetyPolicy.from_dict(stored).temperature == {"level": 1.0, "type": 1.0}


def test_one_temperature_can_be_changed_alone():
    assert SafetyPolicy.from_dict({"temperature": {"type": 2.5}}).temperature == {"level": 1.0, "type": 2.5}


def test_partial_changes_leave_the_rest_and_the_original_alone():
    policy = SafetyPolicy.from_dict({"actions": {"high": "refuse"}})
    changed = policy.updated({"types": {"privacy": {"threshold": 0.9}}})
    assert changed.actions["high"] == "refuse"
    assert policy.types["privacy"]["threshold"] == 0.5


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"types": {"privacy": {"threshold": 1.5}}}, "types.privacy.threshold"),
        ({"types": {"privacy": {"threshold": 0}}}, "types.privacy.threshold"),
        ({"types": {"privacy": {"threshold": True}}}, "types.privacy.threshold"),
        ({"types": {"privacy": {"threshold": float("nan")}}}, "types.privacy.threshold"),
        ({"types": {"privacy": {"enabled": "no"}}}, "types.privacy.enabled"),
        ({"types": {"weather": {"enabled": True}}}, "types.weather"),
        ({"types": {"privacy": "off"}}, "types.privacy"),
        ({"actions": {"high": "block"}}, "actions.high"),
        ({"actions": {"none": "refuse"}}, "actions.none"),
        ({"level_threshold": 0}, "level_threshold"),
        ({"level_threshold": 1.1}, "level_threshold"),
        ({"level_threshold": "0.5"}, "level_threshold"),
        ({"level_threshold": True}, "level_threshold"),
        ({"several_risks": "first"}, "several_risks"),
        ({"unfamiliar": "answer"}, "unfamiliar"),
        ({"hints": {"privacy": {"low": " "}}}, "hints.privacy.low"),
        ({"refusals": {"privacy": 3}}, "refusals.privacy"),
        ({"temperature": {"type": 0}}, "temperature.type"),
        ({"temperature": {"level": float("inf")}}, "temperature.level"),
        ({"temperature": {"level": True}}, "temperature.level"),
        ({"temperature": {"head": 1.0}}, "temperature.head"),
        ({"temperature": 2.0}, "temperature"),
        ({"treshold": 0.5}, "treshold"),
    ],
)
def test_wrong_policy_is_refused_by_the_name_of_its_field(changes, field):
    with pytest.raises(ValueError, match=field):
        SafetyPolicy.from_dict(changes)


def test_file_that_is_not_json_is_refused_by_its_name(tmp_path):
    path = tmp_path / "policy.json"
    path.write_text("{types:")
    with pytest.raises(ValueError, match=r"policy\.json"):
        SafetyPolicy.from_json_file(path)


def test_policy_is_shown_as_json():
    assert json.loads(SafetyPolicy().to_json_string())["actions"]["high"] == "hint"


INVISIBLE = {
    "zero width": "\u200b\u200d",
    "blank letters": "\u3164\u2800",
    "a mark alone": "\u0301",
    "direction marks": "\u202e\u2066",
    "line breaks": "\n \r\n\t",
}
CONTROL = {
    "null": "Take\x00 care.",
    "backspace": "Take care.\x08",
    "escape": "\x1b[2J",
    "surrogate": "Take\ud800 care.",
}


@pytest.mark.parametrize("text", [*INVISIBLE.values(), *CONTROL.values()], ids=[*INVISIBLE, *CONTROL])
@pytest.mark.parametrize(
    ("changes", "field"),
    [
        (lambda text: {"hints": {"privacy": {"low": text}}}, "hints.privacy.low"),
        (lambda text: {"refusals": {"fairness": text}}, "refusals.fairness"),
        (lambda text: {"untrusted_refusal": text}, "untrusted_refusal"),
    ],
    ids=["hint", "refusal", "untrusted_refusal"],
)
def test_text_that_shows_nothing_or_holds_control_characters_is_refused(text, changes, field):
    with pytest.raises(ValueError, match=field):
        SafetyPolicy.from_dict(changes(text))


@pytest.mark.parametrize("text", ["?", "请谨慎回答。", "می‌خواهم", "👩‍👧 no", "One.\n\tTwo."])
def test_text_of_any_script_is_taken(text):
    assert SafetyPolicy.from_dict({"untrusted_refusal": text}).untrusted_refusal == text


@pytest.mark.parametrize("temperature", [1e40, 1e-40, 100.1, 0.0099, -1.0, float("nan"), 10**400, "1"])
def test_temperature_that_would_flatten_the_probabilities_is_refused(temperature):
    with pytest.raises(ValueError, match=r"temperature\.level"):
        SafetyPolicy.from_dict({"temperature": {"level": temperature}})


FILES = {
    "a field twice": (b'{"actions": {"high": "answer", "low": "hint", "high": "refuse"}}', r"`actions\.high`"),
    "an object twice": (b'{"actions": {"high": "refuse"}, "actions": {"low": "answer"}}', "`actions`"),
    "an escaped name twice": (b'{"temperature": {"level": 2, "\\u006cevel": 1}}', r"`temperature\.level`"),
    "a number that overflows": (b'{"temperature": {"level": 1e999}}', r"temperature\.level"),
    "Infinity": (b'{"temperature": {"type": Infinity}}', r"temperature\.type"),
    "NaN": (b'{"types": {"privacy": {"threshold": NaN}}}', r"types\.privacy\.threshold"),
    "a number of 5,000 digits": (b'{"temperature": {"level": ' + b"9" * 5000 + b"}}", "digits"),
    "deep nesting": (b'{"types":' * 100_000, "nested too deeply"),
    "deep lists": (b"[" * 100_000, "nested too deeply"),
    "a list": (b"[]", "must be a dictionary"),
    "null": (b"null", "must be a dictionary"),
    "a text": (b'"refuse"', "must be a dictionary"),
    "a null field": (b'{"actions": null}', "actions must be a dictionary"),
    "nothing": (b"", "not valid JSON"),
    "UTF-16": ('{"actions": {"high": "refuse"}}'.encode("utf-16"), "UTF-8"),
    "Latin-1": ('{"untrusted_refusal": "Désolé"}'.encode("latin-1"), "UTF-8"),
    "half a surrogate pair": (b'{"untrusted_refusal": "No \\ud800 answer"}', "untrusted_refusal"),
}


@pytest.mark.parametrize(("content", "message"), FILES.values(), ids=FILES)
def test_file_that_does_not_say_one_thing_is_refused_by_its_name_and_its_field(content, message, tmp_path):
    path = tmp_path / "policy.json"
    path.write_bytes(content)
    for read in (read_policy_changes, SafetyPolicy.from_json_file):
        with pytest.raises(ValueError, match=message) as error:
            read(path)
        assert "policy.json" in str(error.value)


def test_file_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "policy.json"
    path.write_bytes(b'\xef\xbb\xbf{"actions": {"high": "refuse"}}')
    assert read_policy_changes(path) == {"actions": {"high": "refuse"}}
