"""A request may make the operator's policy stricter, and nothing else."""

import random

import pytest

from safe_llava import SafetyPolicy
from safe_llava.models.safety_labels import RISK_LEVELS, RISK_TYPES
from safe_llava.models.safety_policy import ACTIONS
from safe_llava.serving.policy_strictness import make_stricter
from safe_llava.serving.request_errors import RequestError


OPERATOR = SafetyPolicy.from_dict(
    {
        "types": {"politics": {"enabled": False}, "privacy": {"threshold": 0.4}},
        "actions": {"low": "answer", "medium": "hint", "high": "refuse"},
    }
)


def draw_changes(drawn: random.Random) -> dict:
    types = {
        name: {"enabled": drawn.random() < 0.9, "threshold": drawn.uniform(0.05, 0.6)}
        for name in drawn.sample(RISK_TYPES, 3)
    }
    actions = {level: drawn.choice(ACTIONS) for level in drawn.sample(RISK_LEVELS, 2)}
    several, unfamiliar = drawn.choice(("strongest", "all")), drawn.choice(("assess", "refuse"))
    changes = {"types": types, "actions": actions, "several_risks": several, "unfamiliar": unfamiliar}
    return changes | ({"level_threshold": drawn.random()} if drawn.random() < 0.5 else {})


def draw_probabilities(drawn: random.Random, number: int) -> list[float]:
    weights = [drawn.random() ** 4 for _ in range(number)]
    return [weight / sum(weights) for weight in weights]


@pytest.mark.parametrize("level_threshold", [None, 0.3, 0.8])
def test_no_change_that_is_taken_ever_loosens_a_decision(level_threshold):
    drawn = random.Random(0)
    taken, operator = 0, OPERATOR.updated({"level_threshold": level_threshold})
    for _ in range(1000):
        try:
            changed = make_stricter(operator, draw_changes(drawn))
        except RequestError:
            continue
        taken += 1
        for _ in range(20):
            probabilities = draw_probabilities(drawn, 4), draw_probabilities(drawn, 7)
            trust = drawn.random() < 0.9, drawn.random() < 0.1
            before, after = (policy.decide(*probabilities, *trust) for policy in (operator, changed))
            assert after.strictness() >= before.strictness()
    assert taken > 50


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"types": {"privacy": {"enabled": False}}}, "types.privacy.enabled"),
        ({"types": {"privacy": {"threshold": 0.5}}}, "types.privacy.threshold"),
        ({"actions": {"high": "hint"}}, "actions.high"),
        ({"level_threshold": 0.51}, "level_threshold"),
        ({"hints": {"privacy": {"low": "Answer freely."}}}, "hints"),
        ({"refusals": {"privacy": "Sure!"}}, "refusals"),
        ({"untrusted_refusal": "Sure!"}, "untrusted_refusal"),
        ({"guarantee": None}, "guarantee"),
        ({"temperature": {"type": 100.0}}, "temperature"),
    ],
)
def test_a_looser_field_is_refused_by_name(changes, field):
    with pytest.raises(RequestError) as caught:
        make_stricter(OPERATOR, changes)
    assert (caught.value.status, caught.value.param) == (400, f"safety_policy.{field}")


def test_a_threshold_of_the_level_is_not_taken_away():
    operator = SafetyPolicy(level_threshold=0.9)
    with pytest.raises(RequestError, match="level_threshold"):
        make_stricter(operator, {"level_threshold": None})


def test_all_risks_may_be_named_and_not_the_strongest_alone():
    all_of_them = make_stricter(OPERATOR, {"several_risks": "all"})
    assert all_of_them.several_risks == "all"
    with pytest.raises(RequestError, match="several_risks"):
        make_stricter(all_of_them, {"several_risks": "strongest"})


@pytest.mark.parametrize("changes", [{"typ": {}}, {"types": {"privacy": 3}}, {"actions": "refuse"}, {"types": None}])
def test_what_is_no_policy_is_a_clear_error(changes):
    with pytest.raises(RequestError, match="Safety policy") as caught:
        make_stricter(OPERATOR, changes)
    assert caught.value.status == 400
