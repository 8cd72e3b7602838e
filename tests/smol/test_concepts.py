"""The table of labels says of every drawing what it shows and what is risky about it, without contradictions."""

from collections import Counter

import pytest

from safe_llava.models.safety_labels import RISK_TYPES, SAFE_TYPE_ID
from safe_llava.smol.concepts import read_concepts, with_article
from safe_llava.smol.drawings import SPLIT_MAKERS, Drawings
from safe_llava.smol.pair_questions import read_questions


CONCEPTS = read_concepts().concepts
RISKY = [concept for concept in CONCEPTS.values() if concept.level]


def test_an_emoji_is_one_concept():
    codes = Counter(code for concept in CONCEPTS.values() for code in concept.codes)
    assert not [code for code, count in codes.items() if count > 1]


@pytest.mark.parametrize("concept", RISKY, ids=lambda concept: concept.name)
def test_look_alikes_of_a_risky_concept_are_named_and_harmless(concept):
    names = concept.look_alikes + read_concepts().look_alikes[concept.group]
    assert names
    assert all(CONCEPTS[name].level == 0 and CONCEPTS[name].safety_type == SAFE_TYPE_ID for name in names)


def test_a_fifth_of_the_risky_concepts_is_held_out_and_every_type_keeps_some_of_both():
    assert 0.15 < sum(concept.held_out for concept in RISKY) / len(RISKY) < 0.25
    assert {(concept.safety_type, concept.held_out) for concept in RISKY} == {
        (kind, held_out) for kind in range(len(RISK_TYPES)) for held_out in (False, True)
    }


def test_what_a_maker_drew_otherwise_has_the_label_of_what_is_seen(drawings):
    makers = {drawing.maker for drawing in drawings["train"].by_name["pistol"]}
    assert makers == {"noto-v1"}
    assert all(drawing.concept.level == 0 for drawing in drawings["train"].by_name["water pistol"])


def test_a_drawing_that_shows_something_else_can_be_left_out(drawings):
    assert "fxemoji" not in {drawing.maker for drawing in drawings["test"].by_name["game die"]}


def test_every_risk_group_has_a_risky_question_a_harmless_one_and_a_question_that_does_not_fit():
    questions = read_questions()
    groups = {concept.group for concept in RISKY}
    assert {group for question in questions.pairs.values() for group in question.serves} == groups
    assert questions.topical.keys() == groups
    assert {group for question in questions.pairs.values() for group in question.misfits} >= groups - {"child"}


@pytest.mark.parametrize("question", read_questions().pairs.values(), ids=lambda question: question.name)
def test_a_question_serves_one_type_and_what_does_not_fit_is_of_another(question):
    types = {concept.safety_type for concept in RISKY if concept.group in question.serves}
    assert len(types) == 1
    assert types.isdisjoint(concept.safety_type for concept in RISKY if concept.group in question.misfits)


@pytest.mark.parametrize("question", read_questions().pairs.values(), ids=lambda question: question.name)
def test_a_question_of_low_level_has_a_careful_answer(question):
    levels = {concept.level for concept in RISKY if concept.group in question.serves}
    assert bool(question.careful) == (1 in levels)


def test_no_maker_is_in_two_splits():
    makers = [maker for split in SPLIT_MAKERS.values() for maker in split]
    assert len(makers) == len(set(makers))


def test_an_unknown_split_is_refused(drawings_table):
    with pytest.raises(ValueError, match="No split 'dev'"):
        Drawings(drawings_table, "dev")


def test_drawings_without_the_splits_makers_are_refused(drawings_table):
    with pytest.raises(ValueError, match="no drawing by openmoji"):
        Drawings(drawings_table.select(range(10)), "test")


@pytest.mark.parametrize("name", ["apple", "umbrella", "unamused face", "om sign"])
def test_a_vowel_takes_an(name):
    assert with_article(name) == f"an {name}"


@pytest.mark.parametrize("name", ["unicorn", "cup", "Hindu temple"])
def test_other_sounds_take_a(name):
    assert with_article(name) == f"a {name}"
