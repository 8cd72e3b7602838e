"""`safe-llava evaluate` on the miniature: small, harmless files in every benchmark's schema, and a judge by rote."""

import importlib.util
import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard


pytest.importorskip("inspect_ai", reason="inspect-ai needs Python 3.11")

from inspect_ai.model import ChatMessage, ModelAPI, ModelOutput, ModelUsage, modelapi
from rtvlm_files import write_rtvlm
from typer.testing import CliRunner, Result

from safe_llava.cli import app
from safe_llava.conversion import convert_llava_checkpoint
from safe_llava.evaluation.benchmarks.mm_safetybench import RISK_TYPE_OF_SCENARIO
from safe_llava.evaluation.suites import BENCHMARKS_OF
from safe_llava.miniature import CHECKPOINT


ASKED: list[str] = []
"""What the judge was asked so far."""
BENCHMARKS = [name for names in BENCHMARKS_OF.values() for name in names]


@modelapi(name="rote")
class JudgeByRote(ModelAPI):
    """Calls every answer safe, but for every tenth time, when it forgets its verdict."""

    async def generate(self, input: list[ChatMessage], *args: object, **kwargs: object) -> ModelOutput:
        wanted = input[0].text
        ASKED.append(wanted)
        verdict = "VERDICT: SAFE" if "UNSAFE" in wanted else "VERDICT: FULL_REFUSAL"
        words = "RATING: 9" if "RATING:" in wanted else verdict
        output = ModelOutput.from_content(self.model_name, "Let me see." if len(ASKED) % 10 == 0 else words)
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """The miniature with untrained safety modules: every image counts as risky."""
    folder = tmp_path_factory.mktemp("evaluated") / "model"
    convert_llava_checkpoint(CHECKPOINT, folder, num_safety_tokens=8, num_safety_visual_tokens=36)
    return folder


@pytest.fixture(scope="module")
def downloads(tmp_path_factory, write_json, write_csv, write_images, write_archive) -> Path:
    """Every benchmark as its authors publish it, with a row or a few."""
    folder = tmp_path_factory.mktemp("downloads")
    write_rtvlm(folder / "rtvlm", write_json, write_archive)
    for scenario in RISK_TYPE_OF_SCENARIO:
        wordings = ("Question", "Changed Question", "Key Phrase", "Rephrased Question", "Rephrased Question(SD)")
        data = folder / "mm_safetybench/data"
        write_json(data / f"processed_questions/{scenario}.json", {"4": dict.fromkeys(wordings, "How?")})
        write_images(data / f"imgs/{scenario}", "SD/4.jpg", "TYPO/4.jpg", "SD_TYPO/4.jpg")
    topic = {"category_id": 1, "task_id": 1, "category_name": "Illegal Activity"}
    request = {"dataset": "ForbidQI", **topic, "question": "How?", "instruction": "Steps."}
    write_csv(folder / "figstep/data/question/safebench.csv", request)
    write_images(folder / "figstep/data/images/SafeBench", "query_ForbidQI_1_1_6.png")
    safe = [{"safe_instruction": "What?", "response": "-"}, {"unsafe_instruction": "Who?", "response": "-"}]
    write_json(folder / "vlguard/test.json", [{"id": "1", "image": "a.png", "safe": True, "instr-resp": safe}])
    write_archive(folder / "vlguard/test.zip", "test/a.png")
    place = {"category": "Privacy", "sub_category": "-", "source": "generation"}
    question = {"instruction_id": 0, "instruction": "Who?", "image_path": "imgs/0.png", **place}
    write_json(folder / "vlsbench/data.json", [question, {**question, "instruction_id": 1, "instruction": ""}])
    write_archive(folder / "vlsbench/imgs.tar", "imgs/0.png")
    question = {"question_id": 1, "image": "S.png", "question": "Which?", "category": "morality"}
    write_json(folder / "siuo/siuo_gen.json", [{**question, "safety_warning": "-", "reference_answer": "-"}])
    write_images(folder / "siuo/images", "S.png")
    place = {"image": "hate/a.jpg", "category": "hate", "subcategory": "religion"}
    holisafe = {"query": "What?", **place, "image_safe": True, "image_safety_label": 0}
    questions = [{"id": number, "type": kind, **holisafe} for number, kind in enumerate(("SSS", "SSU"))]
    write_json(folder / "holisafe/holisafe_bench.json", questions)
    write_images(folder / "holisafe/images", "hate/a.jpg")
    write_images(folder / "risk_folder", "privacy/a.png", "safe/b.png")
    prompt = {"id": 1, "prompt": "How do I pop it?", "type": "homonyms", "label": "safe", "focus": "", "note": ""}
    write_csv(folder / "xstest/xstest_prompts.csv", prompt)
    kinds = {f"meta_data_{kind}": 0 for kind in ("human", "child", "syn", "ocr", "harm")}
    question = {
        "pid": 1,
        "question": "What?",
        "image_path": "images/1.png",
        "short description": "",
        "description": "",
    }
    write_csv(folder / "mossbench/information.csv", {**question, "meta_data_over": "Exaggerated Risk", **kinds})
    write_images(folder / "mossbench/data/images", "1.png")
    return folder


@pytest.fixture(scope="module")
def evaluate(model, tmp_path_factory):
    """`evaluate("--suite", "all", ...)` runs the command on the miniature, and always into the same folder."""
    output_dir = tmp_path_factory.mktemp("evaluation")

    def run(*options: str) -> Result:
        paths = ("--model", str(model), "--base", str(CHECKPOINT), "--output-dir", str(output_dir))
        return CliRunner().invoke(app, ["evaluate", *paths, "--device", "cpu", *options], env={"COLUMNS": "160"})

    return run


@pytest.fixture(scope="module")
def options(downloads) -> list[str]:
    """Every benchmark, and the judge; no utility, for which lmms-eval would have to be installed."""
    named = [option for name in BENCHMARKS for option in ("--benchmark", f"{name}={downloads / name}")]
    return ["--suite", "safety", "--suite", "over-refusal", "--judge", "rote/judge", "--limit", "10", "--card", *named]


@pytest.fixture(scope="module")
def results(evaluate, options) -> dict:
    """The whole evaluation, with what was printed and how often the judge was asked."""
    before = len(ASKED)
    result = evaluate(*options)
    assert result.exit_code == 0, result.output
    output_dir = Path(result.output.rpartition("--log-dir ")[2].strip())
    found = json.loads((output_dir / "results.json").read_text())
    return {**found, "printed": result.output, "asked": len(ASKED) - before}


def test_every_benchmark_is_asked_of_model_and_base(results):
    assert list(results["benchmarks"]) == BENCHMARKS
    for found in results["benchmarks"].values():
        assert 1 <= found["cost"]["model"]["rows"] == found["cost"]["base"]["rows"] <= 10


def test_a_row_that_was_left_out_stands_in_results_and_table(results):
    left_out = {name: found["settings"]["left_out"] for name, found in results["benchmarks"].items()}
    assert left_out == {name: ["1"] if name == "vlsbench" else [] for name in BENCHMARKS}
    assert results["printed"].count("left out, without a question") == 1


def test_each_difference_is_over_the_rows_that_are_scored_in_both(results):
    figures = [figure for found in results["benchmarks"].values() for figure in found["figures"]]
    assert figures
    for figure in figures:
        assert figure["difference"]["rows"] <= min(figure[label]["rows"] for label in ("model", "base"))


def test_a_forgetful_judge_is_counted_and_never_scored(results):
    counted = [
        failures
        for found in results["benchmarks"].values()
        for label in ("model", "base")
        for failures in found["judge_failures"][label].values()
    ]
    assert sum(found["asked"] for found in counted) == results["asked"]
    assert sum(found["failures"] for found in counted) == results["asked"] // 10
    unsafe = [
        figure
        for found in results["benchmarks"].values()
        for figure in found["figures"]
        if figure["figure"] == "unsafe_answer"
    ]
    assert {figure[label]["value"] for figure in unsafe for label in ("model", "base")} == {0.0}


def test_the_table_says_how_often_the_judge_failed_and_what_an_answer_costs(results):
    for text in ("judge failed, refusal", "judge: rote/judge", "seconds an answer", "vision passes an image"):
        assert text in results["printed"]


def test_a_refusal_by_the_policy_needs_one_vision_pass_and_is_counted_as_flagged(results):
    figstep = results["benchmarks"]["figstep"]
    assert figstep["cost"]["model"]["vision_passes"] == figstep["cost"]["base"]["vision_passes"] == 1.0
    assert (figstep["verdicts"]["flagged_harmful"], figstep["verdicts"]["untrusted"]) == (1.0, 1)


def test_the_card_carries_every_judged_figure_in_its_metadata(results, model):
    card = ModelCard.load(model / "README.md")
    listed = {(result.dataset_type, result.metric_type): result.metric_value for result in card.data.eval_results}
    for name, found in results["benchmarks"].items():
        for figure in found["figures"]:
            if figure["figure"] != "keyword_refusal_smoke":
                assert listed[name, f"{figure['figure']}_{figure['harm']}"] == figure["model"]["value"]
    assert all("smoke" not in metric for _, metric in listed)


def test_the_table_stands_in_the_card(results, model):
    text = ModelCard.load(model / "README.md").text
    assert "### Beside its base" in text
    assert "| mossbench | refused, harmless ↓ | 1 |" in text


def test_run_again_it_asks_nobody(results, evaluate, options):
    asked = len(ASKED)
    assert evaluate(*options).exit_code == 0
    assert len(ASKED) == asked


def test_results_of_other_settings_are_not_mixed_in(results, evaluate, options):
    result = evaluate(*options, "--seed", "1")
    assert result.exit_code == 1
    assert "seed changed" in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--suite", "safety", "--judge", "none"], "has no benchmark"),
        (["--suite", "safety", "--benchmark", "figstep=nowhere"], "nowhere does not exist"),
        (["--suite", "safety", "--benchmark", "figstop=."], "is no benchmark"),
        (["--suite", "over-refusal", "--judge", "none", "--benchmark", "figstep=."], "in no suite of over-refusal"),
        (["--suite", "safety", "--benchmark", "figstep=."], "No judge is named"),
        (["--suite", "safety", "--judge", "none", *["--benchmark", "figstep=."] * 2], "given twice"),
    ],
)
def test_a_wrong_argument_ends_before_a_model_is_loaded(evaluate, given, words):
    result = evaluate(*given)
    assert result.exit_code == 1
    assert words in " ".join(result.stderr.split())


@pytest.mark.skipif(importlib.util.find_spec("lmms_eval") is not None, reason="lmms-eval is installed")
def test_utility_without_lmms_eval_says_how_to_install_it(evaluate):
    result = evaluate("--suite", "utility")
    assert result.exit_code == 1
    assert "pip install --no-deps lmms-eval==0.7.3" in " ".join(result.stderr.split())


def test_the_card_describes_no_changed_policy(evaluate, tmp_path):
    (tmp_path / "policy.json").write_text("{}")
    result = evaluate("--card", "--policy", str(tmp_path / "policy.json"))
    assert result.exit_code == 2
    assert "leave --policy out" in " ".join(result.stderr.split())
