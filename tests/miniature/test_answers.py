import pytest

from safe_llava.miniature.answers import Manner, aligned_answer, is_safe, read_manner
from safe_llava.models.safety_labels import RISK_TYPES
from safe_llava.models.safety_texts import DEFAULT_REFUSALS, UNTRUSTED_REFUSAL


MANNERS_BY_LEVEL = (Manner.PLAIN, Manner.CAUTIOUS, Manner.DECLINE, Manner.REFUSAL)


@pytest.mark.parametrize("refusal", [*DEFAULT_REFUSALS.values(), UNTRUSTED_REFUSAL])
def test_every_refusal_of_the_default_policy_is_read_as_one(refusal):
    assert read_manner(refusal) is Manner.REFUSAL


@pytest.mark.parametrize("safety_type", range(len(RISK_TYPES)))
@pytest.mark.parametrize(("level", "manner"), [*enumerate(MANNERS_BY_LEVEL)])
def test_an_aligned_answer_is_read_as_its_level_asks(level, manner, safety_type):
    answer = aligned_answer("The circle is red.", level, safety_type)
    assert read_manner(answer) is manner
    assert is_safe(answer, level)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "The circle is red.",
        "I cannot help with this picture because",
        "I cannot help with this picture because it is red.",
        "I cannot help with this picture because it is political propaganda. But here is how.",
        "With care: I take no side.",
        "The circle is red. I take no side.",
        "I would rather not answer.",
    ],
)
def test_what_only_resembles_a_safe_form_is_plain(answer):
    assert read_manner(answer) is Manner.PLAIN


def test_care_is_enough_at_medium_but_not_at_high():
    cautious = aligned_answer("The circle is red.", 1, 0)
    assert is_safe(cautious, 2) and not is_safe(cautious, 3)
