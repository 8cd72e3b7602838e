import json

import pytest
import torch

from safe_llava import SafetyVerdict


@pytest.fixture
def verdict() -> SafetyVerdict:
    type_logits = torch.zeros(2, 7)
    type_logits[0, 4], type_logits[0, 0], type_logits[1, 6] = 2.0, 8.0, 3.0
    return SafetyVerdict(
        level_logits=torch.tensor([[0.0, 1.0, 5.0, 2.0], [4.0, 0.0, 0.0, 0.0]]),
        type_logits=type_logits,
        has_image=torch.tensor([True, True]),
        trusted=torch.tensor([True, False]),
    )


def test_names_follow_the_most_probable_class(verdict):
    assert (verdict.levels[0], verdict.types) == ("medium", ["politics", "safe"])


def test_untrusted_row_counts_as_high(verdict):
    assert verdict.levels[1] == "high"


def test_rows_are_json_ready_with_every_probability_by_name(verdict):
    row = json.loads(json.dumps(verdict.to_list()))[0]
    assert row["level"] == "medium"
    assert sum(row["level_probs"].values()) == pytest.approx(1.0)
    assert row["type_probs"]["politics"] > row["type_probs"]["privacy"]


def test_a_temperature_softens_probabilities_and_keeps_order_and_trust(verdict):
    cooled = verdict.with_temperature(level=2.0, type=4.0)
    torch.testing.assert_close(cooled.type_probs, (verdict.type_logits / 4.0).softmax(dim=-1))
    assert (cooled.levels, cooled.types) == (verdict.levels, verdict.types)
    assert verdict.level_logits[0, 2] == 5.0


@pytest.mark.parametrize("temperature", [{"level": 1e40}, {"type": 0.0}, {"level": float("nan")}, {"type": -1.0}])
def test_a_temperature_that_no_policy_may_have_is_refused(temperature, verdict):
    with pytest.raises(ValueError, match=rf"temperature\.{next(iter(temperature))}"):
        verdict.with_temperature(**temperature)
