"""A guarantee stands for the thresholds and the weights that it was given for, and for no others."""

import copy
import json

import pytest

from safe_llava import SafetyPolicy
from safe_llava.model_card import build_model_card
from safe_llava.models.safety_guarantee import digest_decisions, guarantee_in_force
from safe_llava.models.safety_trust import record_training


def guaranteed(weights: str, changes: dict | None = None) -> SafetyPolicy:
    policy = SafetyPolicy.from_dict(changes or {})
    guarantee = {
        "promises": {"over_refusal<=0.01": {"rows": 800, "failures": 2}},
        "confidence": 0.95,
        "rows": {"tested": 900, "fitted": 100, "left_out": {"unlabelled": 7}, "copies": 0, "sha256": "abc"},
        "weights": weights,
        "decisions": digest_decisions(policy.to_dict()),
    }
    return policy.updated({"guarantee": guarantee})


POLICY = guaranteed("w", {"types": {"politics": {"enabled": False}}, "actions": {"low": "answer"}})
DECIDES = {
    "a threshold": {"types": {"privacy": {"threshold": 0.6}}},
    "a type off": {"types": {"privacy": {"enabled": False}}},
    "a type on": {"types": {"politics": {"enabled": True}}},
    "a level answered": {"actions": {"medium": "answer"}},
    "a level acted on": {"actions": {"low": "hint"}},
    "a temperature": {"temperature": {"type": 2.0}},
    "a threshold of the level": {"level_threshold": 0.5},
    "unfamiliar images assessed": {"unfamiliar": "assess"},
}
DECIDES_NOTHING = {
    "a text": {"hints": {"privacy": {"low": "Answer without names."}}},
    "what is done": {"actions": {"high": "refuse"}},
    "several risks": {"several_risks": "all"},
    "the threshold of a type that is off": {"types": {"politics": {"threshold": 0.9}}},
    "the same number": {"types": {"privacy": {"threshold": 0.5}}},
    "nothing": {},
}


@pytest.mark.parametrize("name", DECIDES)
def test_a_copy_that_decides_otherwise_has_lost_it(name):
    assert POLICY.updated(DECIDES[name]).guarantee is None
    assert "guarantee" not in POLICY.updated(DECIDES[name]).to_dict()


@pytest.mark.parametrize("name", DECIDES_NOTHING)
def test_a_copy_that_decides_the_same_keeps_it(name):
    assert POLICY.updated(DECIDES_NOTHING[name]).guarantee == POLICY.guarantee


def test_a_policy_that_was_changed_in_place_is_stored_without():
    policy = copy.deepcopy(POLICY)
    policy.types["privacy"]["threshold"] = 0.9
    assert "guarantee" not in policy.to_dict()
    assert SafetyPolicy.from_dict(policy.to_dict()).types["privacy"]["threshold"] == 0.9


def test_it_holds_for_a_policy_that_was_stored_before_images_could_be_unfamiliar():
    stored = POLICY.to_dict()
    del stored["unfamiliar"]
    assert SafetyPolicy.from_dict(stored).guarantee == POLICY.guarantee


@pytest.mark.parametrize("name", DECIDES)
def test_a_file_that_was_edited_beside_it_is_refused(name, tmp_path):
    path = tmp_path / "policy.json"
    POLICY.save_json(path)
    assert SafetyPolicy.from_json_file(path) == POLICY
    edited = json.loads(path.read_text())
    for field, changes in DECIDES[name].items():
        if not isinstance(changes, dict):
            edited[field] = changes
            continue
        for key, change in changes.items():
            edited[field][key] = edited[field][key] | change if isinstance(change, dict) else change
    path.write_text(json.dumps(edited))
    with pytest.raises(ValueError, match="was given for other thresholds, actions or temperatures"):
        SafetyPolicy.from_json_file(path)


@pytest.mark.parametrize("value", [True, {}, {"promises": {}}, {**POLICY.guarantee, "more": 1}])
def test_what_is_no_guarantee_is_refused(value):
    with pytest.raises(ValueError, match="`guarantee` must be what"):
        SafetyPolicy.from_dict({"guarantee": value})


def test_a_policy_without_one_is_written_as_ever():
    assert "guarantee" not in SafetyPolicy().to_dict()


def test_another_model_does_not_take_it(tiny_safe_llava, tiny_processor):
    model = copy.deepcopy(tiny_safe_llava)
    with pytest.raises(ValueError, match="another model, or before this one was trained on"):
        model.set_safety_policy(POLICY, tiny_processor)
    own = guaranteed(model.config.safety_training["digests"][0])
    model.set_safety_policy(own, tiny_processor)
    assert model.safety_policy == own
    assert guarantee_in_force(model.config) == own.guarantee


def test_training_on_takes_it_away(tiny_safe_llava, tiny_processor):
    model = copy.deepcopy(tiny_safe_llava)
    model.set_safety_policy(guaranteed(model.config.safety_training["digests"][0]), tiny_processor)
    assert "What is promised" in build_model_card(model.config).text
    record_training(model)
    assert model.safety_policy.guarantee is not None
    next(model.model.safety_modules.parameters()).data += 1
    record_training(model)
    assert model.safety_policy.guarantee is None
    assert "What is promised" not in build_model_card(model.config).text
