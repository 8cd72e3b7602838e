"""The runner, against a stand-in for `python -m lmms_eval` that leaves the files which lmms-eval 0.7.3 leaves."""

import importlib.machinery
import importlib.metadata
import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from safe_llava.evaluation.lmms.run_utility import read_samples, run_utility


class LmmsEval:
    """Answers POPE as it is told: `answers` by model folder, cut to `rows`, with a log. Exit code 0, always."""

    def __init__(self):
        self.commands: list[list[str]] = []
        self.actions = ["answer", "refuse", "answer", "answer"]
        self.answers = {"model": ["yes", "i cannot", "yes", "no"], "base": ["yes", "no", "yes", "no"]}
        self.truth = ["yes", "no", "yes", "yes"]
        self.question = "Is there a circle?"
        self.saves = True
        self.rows: int | None = None
        self.model_args: str | None = None

    def __call__(self, command: list[str], cwd: Path, stdout, stderr, check: bool) -> None:
        self.commands.append(command)
        options = dict(zip(command[3::2], command[4::2]))
        stdout.write("loading\nTraceback (most recent call last):\nMemoryError: too large\n")
        if self.saves:
            self._save(Path(options["--output_path"]), options)

    def _save(self, folder: Path, options: dict[str, str]) -> None:
        task = options["--tasks"]
        answers = self.answers[folder.parent.name]
        size = int(options.get("--limit", len(answers)))
        rows = [
            {"prediction": said, "ground_truth": true, "score": float(said == true)}
            for said, true in zip(answers[:size], self.truth)
        ]
        samples = [
            {"doc_id": i, "target": row["ground_truth"], "input": self.question, "pope_accuracy": row}
            for i, row in enumerate(rows)
        ][: self.rows]
        requests = [
            {"task": task, "doc_id": i, "action": action, "level": "none", "types": []}
            | {"prompt_tokens": 10, "new_tokens": 1, "is_overlong": False}
            for i, action in enumerate(self.actions[:size])
        ]
        accuracy = sum(row["score"] for row in rows) / len(rows)
        results = {
            "results": {task: {"alias": task, "pope_accuracy,none": accuracy, "pope_accuracy_stderr,none": "N/A"}},
            "higher_is_better": {task: {"pope_accuracy": True}},
            "n-samples": {task: {"original": len(answers), "effective": size}},
            "config": {"model_args": self.model_args or options["--model_args"]},
            "throughput": {"total_elapsed_time": 2.5},
        }
        (folder / "some__model").mkdir()
        (folder / "some__model" / "20261121_000000_results.json").write_text(json.dumps(results))
        lines = "".join(json.dumps(sample) + "\n" for sample in samples)
        (folder / "some__model" / f"20261121_000000_samples_{task}.jsonl").write_text(lines)
        (folder / "requests.jsonl").write_text("".join(json.dumps(request) + "\n" for request in requests))


@pytest.fixture
def lmms_eval(monkeypatch: pytest.MonkeyPatch) -> LmmsEval:
    stand_in = LmmsEval()
    version = importlib.metadata.version
    monkeypatch.setattr(subprocess, "run", stand_in)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: importlib.machinery.ModuleSpec(name, None))
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.7.3" if name == "lmms_eval" else version(name))
    return stand_in


@pytest.fixture
def run(lmms_eval, tiny_safe_llava, tiny_llava, tmp_path: Path) -> Callable[..., dict]:
    """`run(**options)` runs POPE on a SafeLLaVA's folder, `run(base=True)` on its base's too."""
    tiny_safe_llava.config.save_pretrained(tmp_path / "safe")
    tiny_llava.config.save_pretrained(tmp_path / "llava")

    def start(base: bool = False, **options) -> dict:
        options = {"tasks": ["pope"], "output_dir": tmp_path / "out"} | options
        return run_utility(tmp_path / "safe", tmp_path / "llava" if base else None, **options)

    return start


def test_a_task_gives_its_figures_and_what_the_policy_did(run):
    result = run()["model"]["pope"]
    assert result["figures"]["pope_accuracy"]["value"] == 0.5
    assert result["figures"]["pope_accuracy"]["stderr"] == pytest.approx((1 / 3 / 4) ** 0.5)
    assert result["policy"] == {
        "answer": {"samples": 3, "right": 2 / 3},
        "hint": {"samples": 0, "right": None},
        "refuse": {"samples": 1, "right": 0.0},
    }
    assert (result["samples"], result["prompt_tokens"], result["new_tokens"], result["seconds"]) == (4, 40, 4, 2.5)


def test_the_result_is_kept_beside_the_samples(run, tmp_path):
    result = run()["model"]["pope"]
    assert result["folder"] == str(tmp_path / "out" / "model" / "pope")
    assert json.loads((Path(result["folder"]) / "utility.json").read_text()) | {"folder": result["folder"]} == result
    assert len(read_samples(result["folder"])) == 4


def test_each_task_runs_in_a_process_of_its_own(run, lmms_eval):
    run(tasks=["pope", "pope_adv"])
    assert [command[command.index("--tasks") + 1] for command in lmms_eval.commands] == ["pope", "pope_adv"]


def test_a_result_that_is_there_is_not_made_again(run, lmms_eval):
    first = run()
    assert run() == first
    assert len(lmms_eval.commands) == 1


def test_a_run_goes_on_where_a_crash_ended_it(run, lmms_eval):
    run()
    lmms_eval.saves = False
    with pytest.raises(ChildProcessError, match="pope_adv did not run"):
        run(tasks=["pope", "pope_adv"])
    lmms_eval.saves = True
    assert set(run(tasks=["pope", "pope_adv"])["model"]) == {"pope", "pope_adv"}
    assert [command[command.index("--tasks") + 1] for command in lmms_eval.commands] == ["pope", *["pope_adv"] * 2]


def test_a_result_of_other_settings_is_neither_taken_nor_replaced(run):
    run()
    with pytest.raises(ValueError, match=r"out/model/pope holds a result with other settings: limit changed"):
        run(limit=2)


def test_a_result_of_other_weights_is_not_taken(run, tmp_path):
    run()
    (tmp_path / "safe" / "model.safetensors").write_bytes(b"new")
    with pytest.raises(ValueError, match="model_files changed"):
        run()


def test_a_crash_with_exit_code_zero_is_named_with_the_end_of_its_log(run, lmms_eval):
    lmms_eval.saves = False
    with pytest.raises(ChildProcessError, match=r"(?s)pope did not run to its end .*MemoryError: too large"):
        run()


def test_missing_samples_are_noticed(run, lmms_eval):
    lmms_eval.rows = 3
    with pytest.raises(ChildProcessError, match="there are 3 samples for 4 questions"):
        run()


def test_missing_decisions_are_noticed(run, lmms_eval):
    lmms_eval.actions = ["answer"] * 3
    with pytest.raises(ChildProcessError, match="there are 3 requests for 4 questions"):
        run()


def test_results_of_another_run_are_noticed(run, lmms_eval):
    lmms_eval.model_args = "pretrained=other"
    with pytest.raises(ChildProcessError, match="of another run"):
        run()


def test_a_limit_is_what_a_run_is_complete_by(run):
    assert run(limit=3)["model"]["pope"]["samples"] == 3


def test_a_base_is_compared_question_by_question(run):
    results = run(base=True)
    assert results["base"]["pope"]["figures"]["pope_accuracy"]["value"] == 0.75
    difference = {"value": -0.25, "stderr": 0.25, "interval": [-0.75, 0.0]}
    assert results["difference"] == {"pope": {"pope_accuracy": difference}}


def test_a_base_that_was_asked_otherwise_is_not_compared(run, lmms_eval):
    run()
    lmms_eval.question = "Is there a square?"
    with pytest.raises(ValueError, match="document 0 is not the same question"):
        run(base=True)


@pytest.mark.parametrize(
    ("policy", "argument"), [(False, ",safety_policy=false"), ({"several_risks": "all"}, ",safety_policy=policy.json")]
)
def test_a_policy_is_given_to_the_model_and_not_to_the_base(run, lmms_eval, policy, argument):
    run(base=True, safety_policy=policy)
    ours, theirs = (command[command.index("--model_args") + 1] for command in lmms_eval.commands)
    assert ours.endswith(argument)
    assert "safety_policy" not in theirs


def test_a_policy_travels_in_a_file(run):
    folder = run(safety_policy={"several_risks": "all"})["model"]["pope"]["folder"]
    assert json.loads((Path(folder) / "policy.json").read_text()) == {"several_risks": "all"}


def test_a_task_that_guesses_without_its_judge_is_refused(run, lmms_eval):
    with pytest.raises(ValueError, match="Take 'mmbench_en_dev_static'"):
        run(tasks=["mmbench_en_dev"])
    assert not lmms_eval.commands


def test_a_name_that_lmms_eval_would_split_is_refused(run, tiny_llava, tmp_path):
    tiny_llava.config.save_pretrained(tmp_path / "a,b")
    with pytest.raises(ValueError, match=r"cannot read ',' in the name of a model"):
        run_utility(tmp_path / "a,b", output_dir=tmp_path / "out")


def test_without_lmms_eval_the_error_says_how_to_install_it(monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"safe-llava\[utility\].*--no-deps lmms-eval==0.7.3"):
        run_utility(tmp_path)
