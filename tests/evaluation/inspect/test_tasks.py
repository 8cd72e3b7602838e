"""From a benchmark to figures: what is asked, what is scored, what is left out, and what stands in the results."""

import math
from dataclasses import replace

import pytest


pytest.importorskip("inspect_ai", reason="inspect-ai needs Python 3.11")

from inspect_ai.model import get_model

from safe_llava.evaluation import benchmarks
from safe_llava.evaluation.inspect import judge_prompts, tasks
from safe_llava.evaluation.inspect.inspect_samples import to_sample
from safe_llava.evaluation.inspect.log_figures import read_figures


TASKS = (
    "rtvlm",
    "mm_safetybench",
    "figstep",
    "vlguard",
    "vlsbench",
    "siuo",
    "holisafe",
    "xstest",
    "mossbench",
    "risk_folder",
)


def figures(log) -> dict[str, dict]:
    return {figure["figure"]: figure for figure in read_figures(log)}


@pytest.fixture(scope="module")
def judged(evaluate, parrot, make_judge):
    """`judged(judge, scorer)`: the log of FigStep's task with one scorer."""

    def run(answer, scorer):
        return evaluate(tasks.figstep(path="figstep", scorers=scorer), parrot, make_judge(answer))

    return run


@pytest.fixture(scope="module")
def whole(judged, judge_safety):
    """The log of a judge that never fails."""
    return judged(judge_safety, "unsafe_answer")


@pytest.fixture(scope="module")
def failing(judged, judge_safety, number_of):
    """The log of a judge that fails on a tenth of its answers."""

    def fail_on_row_19(messages) -> str:
        if number_of(messages) == 19:
            raise RuntimeError("the endpoint is down")
        return judge_safety(messages)

    return judged(fail_on_row_19, "unsafe_answer")


@pytest.mark.parametrize("name", TASKS)
def test_each_benchmark_has_a_task(name):
    assert getattr(tasks, name)(path="folder").metadata["benchmark"] == name


def test_a_judge_that_fails_on_a_tenth_changes_the_failure_rate(whole, failing):
    rates = [figures(log)["judge_failure_rate_unsafe_answer"]["mean"] for log in (whole, failing)]
    assert rates == [0.0, 0.1]


def test_a_judge_that_fails_on_a_tenth_does_not_change_what_the_others_say(whole, failing):
    assert figures(whole)["unsafe_answer"]["mean"] == 3 / 10
    assert figures(failing)["unsafe_answer"]["mean"] == pytest.approx(3 / 9)


def test_a_failure_is_counted_and_unscored(failing):
    assert figures(failing)["unsafe_answer"]["scored"] == 9
    assert figures(failing)["judge_failure_rate_unsafe_answer"]["failures"] == 1


def test_a_failed_sample_keeps_what_went_wrong(failing):
    failed = next(sample for sample in failing.samples if sample.id == "row-19").scores["unsafe_answer"]
    assert math.isnan(failed.value["unsafe_answer"])
    assert (failed.reason, failed.metadata["judge_failure"]) == ("grader_failed", "exception")
    assert "the endpoint is down" in failed.explanation


def test_a_judge_that_always_fails_gives_no_figure(judged):
    shown = figures(judged(lambda messages: "Hm.", "unsafe_answer"))
    assert shown["judge_failure_rate_unsafe_answer"]["mean"] == 1.0
    assert [shown["unsafe_answer"][name] for name in ("mean", "lower", "upper")] == [None, None, None]


def test_shares_have_intervals_and_groups(whole):
    shown = figures(whole)["unsafe_answer"]
    assert shown["lower"] < shown["mean"] < shown["upper"]
    subsets = shown["groups"]["subset"]
    assert (subsets["left"]["mean"], subsets["right"]["mean"]) == (0.4, 0.2)
    assert subsets["left"]["lower"] < 0.4 < subsets["left"]["upper"]
    assert {name: group["samples"] for name, group in shown["groups"]["risk_type"].items()} == {
        "privacy": 5,
        "unnamed": 5,
    }


def test_every_score_names_judge_prompt_split_and_harness(whole):
    score = next(sample for sample in whole.samples if sample.id == "row-1").scores["unsafe_answer"]
    assert score.metadata["judge"] == "mockllm/judge"
    assert score.metadata["prompt_version"] == judge_prompts.SAFETY_VERSION
    assert (score.metadata["benchmark"], score.metadata["split"]) == ("figstep", "default")
    assert score.metadata["harness"].startswith("safe-llava ")


def test_every_result_names_judge_prompt_and_harness(whole):
    assert figures(whole)["judge_failure_rate_unsafe_answer"]["judges"] == {"mockllm/judge": 10}
    assert figures(whole)["unsafe_answer"]["prompt_version"] == judge_prompts.SAFETY_VERSION
    assert whole.eval.metadata["judge_prompt_versions"] == {"unsafe_answer": judge_prompts.SAFETY_VERSION}
    assert whole.eval.metadata["harness"].keys() == {"safe-llava", "inspect_ai", "torch", "transformers"}
    assert whole.eval.model_roles["grader"].model == "mockllm/judge"


def test_ratings_are_asked_by_risk_type_and_for_harmful_rows_alone(judged, number_of):
    asked = {}

    def rate(messages) -> str:
        asked[number_of(messages)] = messages[0].text
        return "RATING: 8" if number_of(messages) % 4 == 1 else "RATING: 2"

    shown = figures(judged(rate, "safety_rating"))["safety_rating"]
    assert sorted(asked) == list(range(1, 20, 2))
    assert judge_prompts.RATING_CRITERIA["privacy"] in asked[1]
    assert judge_prompts.RATING_CRITERIA[None] in asked[3]
    assert shown["mean"] == 5.0
    assert {name: group["mean"] for name, group in shown["groups"]["risk_type"].items()} == {
        "privacy": 8.0,
        "unnamed": 2.0,
    }


def test_refusals_are_of_three_kinds_and_told_apart_by_harm(judged, number_of):
    def classify(messages) -> str:
        number = number_of(messages)
        return f"VERDICT: {'FULL_REFUSAL' if number % 2 else 'PARTIAL_REFUSAL' if number < 5 else 'FULL_COMPLIANCE'}"

    shown = figures(judged(classify, "refusal"))
    assert [shown[name]["mean"] for name in ("full_compliance", "partial_refusal", "full_refusal")] == [
        0.35,
        0.15,
        0.5,
    ]
    assert shown["full_refusal"]["groups"]["harm"]["harmful"]["mean"] == 1.0
    assert shown["partial_refusal"]["groups"]["harm"]["harmless"]["mean"] == 0.3


def test_keywords_need_no_judge_and_say_that_they_are_a_smoke_figure(evaluate, parrot):
    log = evaluate(tasks.xstest(path="xstest", scorers="keyword_refusal_smoke"), parrot)
    assert figures(log)["keyword_refusal_smoke"]["mean"] == 1.0


def test_without_a_judge_the_evaluation_stops_and_says_what_to_name(evaluate, parrot):
    log = evaluate(tasks.figstep(path="figstep", scorers="unsafe_answer"), parrot)
    assert "--model-role grader=" in log.error.message
    with pytest.raises(ValueError, match="no finished evaluation"):
        read_figures(log)


def test_a_limit_draws_the_same_rows_over_all_subsets():
    drawn = [tasks.figstep(path="figstep", limit=8, seed=seed).dataset for seed in (0, 0, 1)]
    ids = [[sample.id for sample in dataset] for dataset in drawn]
    assert ids[0] == ids[1] != ids[2]
    assert {sample.metadata["subset"] for sample in drawn[0]} == {"left", "right"}


def test_results_of_other_rows_can_be_told_apart(monkeypatch, rows):
    before = tasks.figstep(path="figstep").metadata["rows_sha256"]
    changed = [*rows[:-1], replace(rows[-1], images=rows[0].images)]
    monkeypatch.setattr(benchmarks, "read_benchmark", lambda *args: (changed, []))
    assert tasks.figstep(path="figstep").metadata["rows_sha256"] != before


def test_an_unknown_scorer_is_named():
    with pytest.raises(ValueError, match="no scorer 'gut_feeling'"):
        tasks.figstep(path="figstep", scorers=["gut_feeling"])


def test_an_image_in_a_file_is_read_when_its_sample_runs(rows, make_image, tmp_path, evaluate, parrot, monkeypatch):
    make_image(0).save(tmp_path / "image.png")
    in_file = replace(rows[0], images=(tmp_path / "image.png",))
    assert to_sample(in_file, "figstep", "default").input[0].content[0].image == str(tmp_path / "image.png")
    monkeypatch.setattr(benchmarks, "read_benchmark", lambda *args: ([in_file], []))
    log = evaluate(tasks.figstep(path="figstep", scorers="keyword_refusal_smoke"), parrot)
    assert log.samples[0].output.completion


@pytest.mark.parametrize(("file_format", "sent"), [("PNG", "png"), ("JPEG", "jpeg"), ("BMP", "png"), ("TIFF", "png")])
def test_judges_are_sent_formats_that_they_decode(file_format, sent, rows, make_image, tmp_path):
    make_image(0).save(tmp_path / "image", format=file_format)
    sample = to_sample(replace(rows[0], images=((tmp_path / "image").read_bytes(),)), "figstep", "default")
    assert sample.input[0].content[0].image.startswith(f"data:image/{sent};base64,")


def test_a_file_named_for_another_format_is_sent_as_what_it_is(rows, make_image, tmp_path):
    make_image(0).save(tmp_path / "image.png", format="JPEG")
    sample = to_sample(replace(rows[0], images=(tmp_path / "image.png",)), "figstep", "default")
    assert sample.input[0].content[0].image.startswith("data:image/jpeg;base64,")


def test_a_row_whose_image_is_none_is_named(rows):
    with pytest.raises(ValueError, match="Row 'row-0'"):
        to_sample(replace(rows[0], images=(b"no image",)), "figstep", "default")


def test_a_safe_llava_and_its_base_answer_the_same_rows(
    evaluate, safe_llava_folder, llava_folder, make_judge, judge_safety
):
    logs = [
        evaluate(
            tasks.figstep(path="figstep", limit=4, scorers="unsafe_answer"),
            get_model(f"safe-llava/{folder}", device="cpu"),
            make_judge(judge_safety),
            max_tokens=4,
        )
        for folder in (safe_llava_folder, llava_folder)
    ]
    assert [log.status for log in logs] == ["success", "success"]
    assert logs[0].eval.metadata == logs[1].eval.metadata
    assert [log.samples[0].output.metadata["safety_verdict"] is None for log in logs] == [False, True]
