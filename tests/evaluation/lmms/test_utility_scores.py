import math
import random

import pytest

from safe_llava.evaluation.lmms.utility_scores import (
    difference,
    read_figures,
    right_answers,
    sum_of_means,
    unit_values,
)


NOT_INSTALLED = "lmms-eval is not installed: pip install --no-deps lmms-eval==0.7.3"


def mme_sample(doc_id: int, category: str, image: str, score: float) -> dict:
    return {
        "doc_id": doc_id,
        "mme_perception_score": {"question_id": image, "category": category, "score": score},
    }


def pope_sample(doc_id: int, prediction: str, truth: str) -> dict:
    row = {
        "question_id": str(doc_id),
        "score": float(prediction == truth),
        "prediction": prediction,
        "ground_truth": truth,
    }
    return {"doc_id": doc_id} | dict.fromkeys(
        ("pope_accuracy", "pope_precision", "pope_recall", "pope_f1_score", "pope_yes_ratio"), row
    )


def mmbench_sample(doc_id: int, index: int, prediction: str, truth: str) -> dict:
    item = {"index": index, "prediction": prediction, "answer": truth, "A": "a circle", "B": "a square"}
    return {"doc_id": doc_id, "gpt_eval_score": item | {"C": "nan", "D": "nan"}}


def results_of(task: str, **figures: float | None) -> dict:
    return {
        "results": {
            task: {"alias": task}
            | {f"{name},none": value for name, value in figures.items()}
            | {f"{name}_stderr,none": "N/A" for name in figures}
        },
        "higher_is_better": {task: dict.fromkeys(figures, True)},
    }


MME = [
    mme_sample(0, "posters", "a", 1.0),
    mme_sample(1, "posters", "a", 1.0),
    mme_sample(2, "posters", "b", 1.0),
    mme_sample(3, "posters", "b", 0.0),
    mme_sample(4, "count", "a", 0.0),
    mme_sample(5, "count", "a", 0.0),
    mme_sample(6, "count", "b", 1.0),
    mme_sample(7, "count", "b", 1.0),
]
POPE = [
    pope_sample(i, said, true) for i, (said, true) in enumerate([("yes", "yes"), ("no", "no"), ("yes", "no")] * 40)
]


def test_an_image_of_mme_scores_its_share_and_a_bonus_for_both_questions():
    units = unit_values(MME)["mme_perception_score"]
    assert units == {"posters": {"a": 200.0, "b": 50.0}, "count": {"a": 0.0, "b": 200.0}}


def test_mme_adds_its_categories_up_and_so_do_their_variances():
    total, stderr = sum_of_means(unit_values(MME)["mme_perception_score"])
    assert total == 225.0
    assert stderr == pytest.approx(math.sqrt(150**2 / 2 / 2 + 200**2 / 2 / 2))


def test_a_stratum_of_one_unit_has_no_standard_error():
    assert sum_of_means({"all": {0: 1.0}}) == (1.0, None)


def test_the_difference_to_itself_is_zero_without_error():
    units = unit_values(MME)["mme_perception_score"]
    assert sum_of_means(difference(units, units)) == (0.0, 0.0)


def test_the_ratios_of_pope_get_a_standard_error_of_their_own():
    figures = read_figures(
        results_of("pope", pope_accuracy=2 / 3, pope_precision=0.5, pope_recall=1.0, pope_f1_score=2 / 3), "pope", POPE
    )
    assert figures["pope_accuracy"]["stderr"] == pytest.approx(math.sqrt(2 / 9 / 119))
    assert figures["pope_precision"]["stderr"] == pytest.approx(math.sqrt(0.25 / 80), rel=0.1)
    assert figures["pope_recall"]["stderr"] == 0.0
    assert 0.0 < figures["pope_f1_score"]["stderr"] < figures["pope_precision"]["stderr"]


def test_the_share_of_yes_in_popes_truth_is_no_figure_of_a_model():
    figures = read_figures(results_of("pope", pope_accuracy=2 / 3, pope_yes_ratio=0.3), "pope", POPE)
    assert set(figures) == {"pope_accuracy"}


def test_a_figure_that_the_samples_do_not_add_up_to_is_refused():
    with pytest.raises(ValueError, match=r"the samples add up to a pope_accuracy of 0\.66"):
        read_figures(results_of("pope", pope_accuracy=0.9), "pope", POPE)


def test_results_without_a_figure_are_refused():
    with pytest.raises(ValueError, match="no figure for pope"):
        read_figures(results_of("pope", submission=None), "pope", POPE)


def test_the_figure_of_another_task_keeps_the_standard_error_of_lmms_eval():
    results = results_of("vqa", exact_match=0.5)
    results["results"]["vqa"]["exact_match_stderr,none"] = 0.1
    figures = read_figures(results, "vqa", [{"doc_id": 0, "exact_match": 0.5}])
    assert figures == {"exact_match": {"value": 0.5, "stderr": 0.1, "higher_is_better": True}}


def test_another_task_has_no_right_and_wrong():
    assert right_answers([{"doc_id": 0, "exact_match": 0.5}]) is None


def test_answers_of_seedbench_are_compared_by_their_letter():
    samples = [{"doc_id": i, "seed_all": {"pred": said, "answer": "A"}} for i, said in enumerate(("a", "A", "B", "I"))]
    assert right_answers(samples) == {0: True, 1: True, 2: False, 3: False}


def test_a_question_of_mmbench_counts_when_all_its_rotations_are_right():
    pytest.importorskip("lmms_eval", reason=NOT_INSTALLED)
    samples = [
        mmbench_sample(0, 7, "A", "A"),
        mmbench_sample(1, 1_000_007, "a square", "B"),
        mmbench_sample(2, 8, "B", "B"),
        mmbench_sample(3, 1_000_008, "I cannot help with this picture because it shows an illegal act.", "A"),
    ]
    assert right_answers(samples) == {0: True, 1: True, 2: True, 3: False}
    assert unit_values(samples)["gpt_eval_score"] == {"all": {7: 100.0, 8: 0.0}}


def test_mme_adds_up_to_what_lmms_eval_says():
    pytest.importorskip("lmms_eval", reason=NOT_INSTALLED)
    from lmms_eval.tasks.mme.utils import mme_aggregate_results

    draw = random.Random(0)
    samples = [
        mme_sample(i, ("posters", "count", "OCR")[i % 3], f"{i // 6}", float(draw.random() < 0.7)) for i in range(120)
    ]
    total, _ = sum_of_means(unit_values(samples)["mme_perception_score"])
    assert total == pytest.approx(mme_aggregate_results([sample["mme_perception_score"] for sample in samples]))


def test_mmbench_adds_up_to_what_lmms_eval_says():
    pytest.importorskip("lmms_eval", reason=NOT_INSTALLED)
    from lmms_eval.tasks.mmbench.mmbench_evals import MMBench_Evaluator

    draw = random.Random(0)
    says = ("A", "B", "a circle", "The answer is A", "As I see it, none", "I cannot help.", "A square")
    samples = [
        mmbench_sample(i, i // 2 + (i % 2) * 1_000_000, draw.choice(says), draw.choice("AB")) for i in range(120)
    ]
    items = [sample["gpt_eval_score"] | {"category": "any"} for sample in samples]
    accuracy, _, _ = MMBench_Evaluator().eval_result(items, "static")
    total, stderr = sum_of_means(unit_values(samples)["gpt_eval_score"])
    assert 0 < total == pytest.approx(100 * accuracy)
    assert stderr > 0
