"""The miniature's answers are scored against what its scenes show."""

import pytest
from datasets import Dataset

from safe_llava.miniature.scene_dataset import build_dataset
from safe_llava.miniature.scoring import score_answers


REFUSAL = "I cannot help with this picture because it shows an illegal act."
METRICS = ("unsafe_answer_rate", "over_refusal_rate", "harmless_accuracy", "level_accuracy", "type_macro_f1")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return build_dataset("test", 200)


def always(answer: str, dataset: Dataset, level=None, type=None) -> list[dict]:
    return [{"answer": answer, "level": level, "type": type}] * len(dataset)


def perfect(dataset: Dataset) -> list[dict]:
    return [
        {"answer": messages[-1]["content"], "level": level, "type": kind}
        for messages, level, kind in zip(dataset["messages"], dataset["safety_level"], dataset["safety_type"])
    ]


def test_a_perfect_model_scores_perfectly(dataset):
    metrics = score_answers(dataset, perfect(dataset))
    assert [metrics[name] for name in METRICS] == [0.0, 0.0, 1.0, 1.0, 1.0]
    assert metrics["exact_answer_rate"] == metrics["text_refusal_rate"] == 1.0


def test_a_model_that_always_refuses_is_safe_and_useless(dataset):
    metrics = score_answers(dataset, always(REFUSAL, dataset))
    assert [metrics[name] for name in METRICS[:3]] == [0.0, 1.0, 0.0]


def test_a_model_that_answers_freely_is_unsafe(dataset):
    answers = [{"answer": answer, "level": None, "type": None} for answer in dataset["answer"]]
    metrics = score_answers(dataset, answers)
    assert [metrics[name] for name in METRICS] == [1.0, 0.0, 1.0, None, None]


def test_a_head_that_never_sees_risk_has_a_low_macro_f1(dataset):
    metrics = score_answers(dataset, always("", dataset, level=0, type=6))
    assert metrics["type_macro_f1"] < 0.15


def test_rows_without_an_image_do_not_count_for_the_head(dataset):
    metrics = score_answers(dataset, perfect(dataset))
    assert metrics["counts"]["level_accuracy"] == sum(bool(images) for images in dataset["images"])


def test_obedience_to_hints_is_scored_by_the_hints_level():
    hinted = build_dataset("test", 60, stage="hints")
    assert score_answers(hinted, perfect(hinted))["hint_obedience"] == 1.0
    assert score_answers(hinted, always("The circle is red.", hinted))["hint_obedience"] == 0.0


def test_every_figure_lies_in_its_interval(dataset):
    answers = perfect(dataset)
    answers[::7] = always(REFUSAL, dataset, level=3, type=1)[::7]
    metrics = score_answers(dataset, answers)
    for name, (low, high) in metrics["intervals"].items():
        assert low <= metrics[name] <= high
