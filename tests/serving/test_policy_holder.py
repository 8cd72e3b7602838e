"""The operator's policy is replaced between two requests, or stays."""

import copy
import json
import logging

import pytest
from serving.request_bodies import acting, chat_body, image_part

from safe_llava import SafetyPolicy
from safe_llava.guards.torch_guard import TorchGuard
from safe_llava.models.safety_guarantee import digest_decisions
from safe_llava.models.safety_labels import RISK_TYPES
from safe_llava.serving.policy_holder import PolicyHolder


NEW_WORDS = acting("refuse", refusals=dict.fromkeys(RISK_TYPES, "Words of tomorrow."))


def test_a_new_file_rules_the_next_request(serve, image_url):
    server = serve(acting("hint"))
    before = server.service.policies.current
    server.service.policies.path.write_text(json.dumps(NEW_WORDS))
    assert server.service.policies.reload()
    reply = server.chat(image_part(image_url)).json()
    assert reply["choices"][0]["message"]["refusal"] == "Words of tomorrow."
    [result] = reply["moderation"]["input"]["results"]
    assert result["policy_version"] == server.service.policies.current.version != before.version


@pytest.mark.parametrize(
    "broken", ["{", '{"typ": {}}', '{"actions": {"high": "shout"}}', '{"refusals": {"privacy": ""}}']
)
def test_a_broken_file_keeps_the_old_policy_and_is_reported_once(serve, image_url, broken, caplog):
    server = serve(acting("refuse"))
    before = server.service.policies.current
    server.service.policies.path.write_text(broken)
    with caplog.at_level(logging.ERROR, logger="safe_llava.serving"):
        assert not server.service.policies.reload()
    assert server.service.policies.current is before
    assert len(caplog.records) == 1
    assert "policy-0.json" in caplog.text
    assert server.chat(image_part(image_url)).json()["choices"][0]["message"]["refusal"]


def test_a_file_with_the_guarantee_of_another_model_keeps_the_old_policy(serve, caplog):
    server = serve(acting("refuse"))
    before = server.service.policies.current
    guarantee = {
        "promises": {"over_refusal<=0.01": {"rows": 800, "failures": 2}},
        "confidence": 0.95,
        "rows": {"tested": 900, "fitted": 100, "left_out": {}, "copies": 0, "sha256": "abc"},
        "weights": "another model's",
        "decisions": digest_decisions(SafetyPolicy().to_dict()),
    }
    server.service.policies.path.write_text(json.dumps({"guarantee": guarantee}))
    assert not server.service.policies.reload()
    assert server.service.policies.current is before
    assert "given for another model" in caplog.text


def test_a_chat_that_was_decided_by_the_old_policy_is_answered_by_it(serve, image_url, monkeypatch):
    """Its texts still have token ids when its turn comes."""
    hints = {name: {"high": "Words of today."} for name in RISK_TYPES}
    server = serve(acting("hint", hints=hints))
    worker, submit = server.service.worker, server.service.worker.submit
    decided = []

    def reload_first(generation):
        server.service.policies.path.write_text(json.dumps(NEW_WORDS))
        assert server.service.policies.reload()
        decided.append(generation.assessment.decision)
        submit(generation)

    monkeypatch.setattr(worker, "submit", reload_first)
    reply = server.post("/v1/chat/completions", chat_body(image_part(image_url)))
    assert reply.status_code == 200
    assert decided[0].texts == ("Words of today.",)
    assert server.chat(image_part(image_url)).json()["choices"][0]["message"]["refusal"] == "Words of tomorrow."


def test_a_model_without_a_policy_is_served_with_a_file_alone(tiny_safe_llava, tiny_processor, tmp_path):
    model = copy.deepcopy(tiny_safe_llava)
    model.set_safety_policy(None)
    with pytest.raises(ValueError, match="--policy"):
        PolicyHolder(TorchGuard(model, tiny_processor))
    (tmp_path / "policy.json").write_text("{}")
    assert (
        PolicyHolder(TorchGuard(model, tiny_processor), tmp_path / "policy.json").current.policy == model.safety_policy
    )
