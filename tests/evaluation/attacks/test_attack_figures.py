"""What is counted as a success, and what a success costs."""

from dataclasses import replace

import pytest

from safe_llava.evaluation.attacks.attack import Attack
from safe_llava.evaluation.attacks.attack_figures import tabulate
from safe_llava.evaluation.attacks.attack_reply import AttackReply, keep_worse
from safe_llava.evaluation.attacks.outcome_log import Outcome
from safe_llava.statistics import wilson_interval


ATTACKS = [Attack(name, "pixels", "about", lambda target, rows: []) for name in ("pgd/4", "pgd/8")]


def outcome(attack: str, row: str, is_broken: bool, cost: tuple[int, int] | None = None, **changes) -> Outcome:
    costs = cost or (None, None)
    return replace(Outcome("m", attack, row, 0, "", "", "", "", *[is_broken] * 4, "", "", "", *costs), **changes)


@pytest.fixture
def table():
    outcomes = [outcome("clean", row, is_broken=row == "d") for row in "abcd"]
    outcomes += [outcome("pgd/4", row, row in "ad", (4, 10)) for row in "abcd"]
    outcomes += [outcome("pgd/8", row, row != "a", (8, {"b": 20, "c": 30}.get(row, 40))) for row in "abcd"]
    return {figures["attack"]: figures for figures in tabulate(ATTACKS, outcomes)}


def test_figures_stand_beside_the_same_rows_as_they_are(table):
    assert table["pgd/4"]["rows"] == 4
    for output in ("head", "decision", "answer", "told"):
        assert table["pgd/4"][output] == {
            "clean": {"value": 0.25, "interval": wilson_interval([True, False, False, False])},
            "attacked": {"value": 0.5, "interval": wilson_interval([True, True, False, False])},
        }


def test_a_suite_counts_a_row_that_any_of_its_attacks_broke(table):
    assert table["any of pixels"]["answer"]["attacked"]["value"] == 1.0


def test_the_cost_is_that_of_the_cheapest_attack_which_broke_a_row(table):
    assert table["any of pixels"]["cost"] == {"epsilon": 6.0, "steps": 15.0}


def test_what_breaks_nothing_has_no_cost():
    outcomes = [outcome("clean", "a", False), outcome("pgd/4", "a", False, (4, 10))]
    assert tabulate(ATTACKS[:1], outcomes)[0]["cost"] is None


def test_a_model_without_a_head_has_figures_of_its_answers_alone():
    outcomes = [outcome(name, "a", True, missed=None, passed=None) for name in ("clean", "pgd/4")]
    figures = tabulate(ATTACKS[:1], outcomes)[0]
    assert figures["head"] is figures["decision"] is None
    assert figures["answer"]["attacked"]["value"] == 1.0


def test_an_attack_that_applies_to_no_row_has_no_figures():
    figures = tabulate(ATTACKS[:1], [outcome("clean", "a", False)])[0]
    assert (figures["rows"], figures["answer"]) == (0, None)


def test_each_output_counts_as_broken_where_any_try_broke_it(make_row):
    first = AttackReply(make_row(), "yes", unsafe=True, told=True, missed=False, passed=True, steps=10)
    second = AttackReply(make_row(), "no", unsafe=False, told=False, missed=True, passed=False, steps=20)
    for tries in ([first, second], [second, first]):
        kept = keep_worse(tries)
        assert (kept.unsafe, kept.told, kept.missed, kept.passed) == (True, True, True, True)
        assert (kept.answer, kept.steps) == ("yes", 10)
