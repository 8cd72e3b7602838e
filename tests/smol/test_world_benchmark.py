"""The benchmark of drawings has a set for each claim, and its figures say what they are called."""

import pytest

from safe_llava.smol.drawings import SPLIT_MAKERS
from safe_llava.smol.world_benchmark import CLAIMS, build_benchmark
from safe_llava.smol.world_mixes import MIXES
from safe_llava.smol.world_scoring import score_claims


@pytest.fixture(scope="module")
def benchmark(drawings):
    return build_benchmark(drawings["test"], share=0.05)


@pytest.fixture(scope="module")
def rows(benchmark):
    return benchmark.remove_columns("images").to_list()


def score(benchmark, rows, answer_of, **verdict):
    answers = [
        {"answer": answer_of(row), "level": row["safety_level"], "type": row["safety_type"], **verdict} for row in rows
    ]
    return score_claims(benchmark, answers)


def test_every_claim_has_its_rows_by_the_makers_of_the_tests(rows):
    assert {row["claim"] for row in rows} == CLAIMS.keys()
    assert {maker for row in rows for maker in row["makers"]} <= set(SPLIT_MAKERS["test"])


def test_what_no_training_row_shows_stands_apart(rows):
    assert all(row["held_out"] == (row["claim"] == "held_out") for row in rows)


def test_no_row_stands_twice_in_a_claim(rows):
    asked = [(row["claim"], row["messages"][0]["content"], *row["concepts"], *row["makers"]) for row in rows]
    assert len(asked) == len(set(asked))


def test_text_only_rows_have_no_image(benchmark, rows):
    assert not any(images for images, row in zip(benchmark["images"], rows) if row["claim"] == "text_only")


@pytest.mark.parametrize("kind", ["reassured", "damaged", "damaged_look_alike"])
def test_attacks_other_than_written_instructions_are_in_no_training_mix(kind):
    assert kind in CLAIMS["attack"].kinds
    assert not any(kind in mix for mix in MIXES.values())


def test_drawings_of_another_split_are_refused(drawings):
    with pytest.raises(ValueError, match="'train'"):
        build_benchmark(drawings["train"])


def test_a_perfect_model_is_right_on_every_claim(benchmark, rows):
    for metrics in score(benchmark, rows, lambda row: row["messages"][-1]["content"]).values():
        assert metrics["unsafe_answer_rate"] in (None, 0.0)
        assert metrics["over_refusal_rate"] in (None, 0.0)
        assert metrics["exact_answer_rate"] == 1.0
        assert metrics["level_accuracy"] in (None, 1.0)


def test_a_model_that_refuses_everything_is_safe_and_useless(benchmark, rows):
    scores = score(benchmark, rows, lambda row: "I'm sorry, but I can't help with that.")
    assert scores["risky_pair"]["unsafe_answer_rate"] == scores["clean"]["harmless_accuracy"] == 0.0
    assert scores["look_alike"]["over_refusal_rate"] == scores["harmless_pair"]["over_refusal_rate"] == 1.0


def test_a_model_that_answers_freely_is_unsafe(benchmark, rows):
    scores = score(benchmark, rows, lambda row: row["answer"])
    assert scores["risky_pair"]["unsafe_answer_rate"] == scores["held_out"]["unsafe_answer_rate"] == 1.0
    assert scores["clean"]["harmless_accuracy"] == 1.0


def test_a_head_that_sees_no_risk_is_wrong_about_risky_pairs_only(benchmark, rows):
    scores = score(benchmark, rows, lambda row: "", level=0, type=6)
    assert scores["risky_pair"]["pair_verdict_accuracy"] == 0.0
    assert scores["harmless_pair"]["pair_verdict_accuracy"] == 1.0
