"""
The plug-in inside the real lmms-eval. Skipped where it is not installed, as in CI: it brings some thirty packages and
takes half a minute to start. By hand, after the install line of the README:

    pytest tests/evaluation/lmms/test_lmms_model.py
"""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest


pytest.importorskip("lmms_eval", reason="lmms-eval is not installed: pip install --no-deps lmms-eval==0.7.3")

import lmms_eval
from lmms_eval.api.instance import Instance
from lmms_eval.models.model_utils.gen_metrics import get_logged_metrics_history, reset_logged_metrics
from lmms_eval.utils import load_yaml_config
from lmms_files import TASKS, write_tasks

from safe_llava import SafetyPolicy
from safe_llava.evaluation.lmms.lmms_model import SafeLlavaForLmmsEval, cut_at
from safe_llava.evaluation.lmms.run_utility import run_utility
from safe_llava.models.safety_texts import DEFAULT_REFUSALS


GREEDY = {"max_new_tokens": 12, "temperature": 0.0, "do_sample": False, "until": ["\n\n"]}
REFUSE_ALL = {"actions": {"high": "refuse"}}


@pytest.fixture(scope="module")
def checkpoints(
    tiny_llava, tiny_llava_processor, tiny_safe_llava, alarmed_safe_llava, tiny_processor, tmp_path_factory
) -> Path:
    """Folders `llava`, `safe`, and `alarmed`, whose policy gives every image a hint."""
    folder = tmp_path_factory.mktemp("checkpoints")
    models = {
        "llava": (tiny_llava, tiny_llava_processor),
        "safe": (tiny_safe_llava, tiny_processor),
        "alarmed": (alarmed_safe_llava, tiny_processor),
    }
    for name, (model, processor) in models.items():
        model.save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
    (folder / "refuse.json").write_text(json.dumps(REFUSE_ALL))
    return folder


@pytest.fixture
def requests(make_image) -> list[Instance]:
    """One image, two images, none, and one image with a longer question."""
    contents = [
        [{"type": "image", "url": make_image(0)}, {"type": "text", "text": "Who is this?"}],
        [{"type": "image", "url": make_image(i)} for i in (1, 2)] + [{"type": "text", "text": "What is the same?"}],
        [{"type": "text", "text": "What is a circle?"}],
        [
            {"type": "image", "url": make_image(3)},
            {"type": "text", "text": "What is in the image? Say it in a word."},
        ],
    ]
    return [ask(content, i) for i, content in enumerate(contents)]


def ask(content: list[dict], doc_id: int, **arguments) -> Instance:
    """A request as lmms-eval's chat tasks build it; `answer` looks its document up in `task_dict`."""
    return Instance(
        request_type="generate_until",
        arguments=(
            content[-1].get("text", ""),
            lambda doc: [{"role": "user", "content": content}],
            GREEDY | arguments,
            doc_id,
            "task",
            "test",
        ),
        idx=0,
        metadata={"task": "task", "doc_id": doc_id, "repeats": 1},
    )


def answer(requests: list[Instance], **model_args) -> list[str]:
    plug_in = SafeLlavaForLmmsEval(device="cpu", **model_args)
    plug_in.task_dict = {"task": {"test": {request.doc_id: {} for request in requests}}}
    return [result.text for result in plug_in.generate_until(requests)]


@pytest.mark.parametrize("name", ["llava", "safe", "alarmed"])
def test_a_batch_is_answered_as_its_requests_alone(checkpoints, requests, name):
    alone = answer(requests, pretrained=str(checkpoints / name), batch_size=1)
    assert answer(requests, pretrained=str(checkpoints / name), batch_size="4") == alone
    assert len(set(alone)) == 4


def test_answers_are_safe_by_default(checkpoints, requests, alarmed_safe_llava, tiny_processor):
    folder = str(checkpoints / "alarmed")
    by_default = answer(requests, pretrained=folder, batch_size=4)
    switched_off = answer(requests, pretrained=folder, batch_size=4, safety_policy=False)
    assert [ours == free for ours, free in zip(by_default, switched_off)] == [False, False, True, False]


def test_a_policy_file_changes_the_policy_of_the_checkpoint(checkpoints, requests):
    answers = answer(
        requests,
        pretrained=str(checkpoints / "alarmed"),
        batch_size=4,
        safety_policy=str(checkpoints / "refuse.json"),
    )
    refusals = tuple(refusal[:10] for refusal in DEFAULT_REFUSALS.values())
    assert [text.startswith(refusals) for text in answers] == [True, True, False, True]


def test_what_the_policy_did_is_written_for_each_request(checkpoints, requests, tmp_path):
    file = tmp_path / "requests.jsonl"
    answer(requests, pretrained=str(checkpoints / "alarmed"), batch_size=3, requests_file=str(file))
    records = {row["doc_id"]: row for row in map(json.loads, file.read_text().splitlines())}
    assert [records[i]["action"] for i in range(4)] == ["hint", "hint", "answer", "hint"]
    assert [records[i]["level"] for i in range(4)] == ["high", "high", "none", "high"]
    assert [records[i]["new_tokens"] for i in range(4)] == [12] * 4
    assert records[2]["prompt_tokens"] < records[0]["prompt_tokens"] < records[1]["prompt_tokens"]
    assert not any(row["is_overlong"] for row in records.values())


def test_what_the_policy_did_is_counted_in_the_results(checkpoints, requests):
    reset_logged_metrics()
    answer(requests, pretrained=str(checkpoints / "alarmed"), batch_size=4)
    (metrics,) = get_logged_metrics_history()
    assert (metrics["task_answer"], metrics["task_hint"], metrics["task_refuse"]) == (1, 3, 0)


def test_an_answer_ends_where_an_until_string_begins(checkpoints, requests):
    folder = str(checkpoints / "safe")
    (whole,) = answer(requests[:1], pretrained=folder)
    again = ask([*requests[0].args[1](None)[0]["content"]], 0, until=[whole[3:5]])
    assert answer([again], pretrained=folder) == [whole[:3].strip()]


@pytest.mark.parametrize(
    ("until", "expected"), [([], "yes\n\nno"), (["\n\n"], "yes"), (["no", "s"], "ye"), (["x"], "yes\n\nno")]
)
def test_text_is_cut_at_the_first_until_string(until, expected):
    assert cut_at("yes\n\nno", until) == expected


def test_a_request_that_pads_a_data_parallel_run_is_not_counted(checkpoints, requests, tmp_path):
    padding = copy.copy(requests[0])
    padding.metadata = padding.metadata | {"__padding_only__": True}
    file = tmp_path / "requests.jsonl"
    answer([*requests, padding], pretrained=str(checkpoints / "safe"), batch_size=5, requests_file=str(file))
    assert len(file.read_text().splitlines()) == 4


def test_a_video_is_refused_with_its_document(checkpoints):
    request = ask([{"type": "video", "url": "film.mp4"}, {"type": "text", "text": "What happens?"}], 5)
    with pytest.raises(ValueError, match="Document 5 of the task task holds a part of type 'video'"):
        answer([request], pretrained=str(checkpoints / "safe"))


def test_a_policy_for_a_model_without_one_is_refused(checkpoints):
    with pytest.raises(ValueError, match="is a 'llava' and has no safety policy"):
        SafeLlavaForLmmsEval(str(checkpoints / "llava"), safety_policy=False, device="cpu")


def test_likelihoods_are_refused_for_they_would_go_around_the_policy(checkpoints):
    with pytest.raises(NotImplementedError, match="around the safety policy"):
        SafeLlavaForLmmsEval(str(checkpoints / "safe"), device="cpu").loglikelihood([])


@pytest.mark.parametrize(
    "file",
    ["mme/mme", "mmbench/mmbench_en_dev", "mmbench/mmbench_en_dev_static", "seedbench/seedbench", "pope/pope"],
)
def test_the_tasks_of_lmms_eval_can_be_imported_with_what_the_extra_installs(file):
    config = load_yaml_config(Path(lmms_eval.__path__[0]) / f"tasks/{file}.yaml")
    assert callable(config["process_results"])
    assert config["task"] == Path(file).name


@pytest.fixture(scope="module")
def task_folder(make_image, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    write_tasks(folder, make_image)
    return folder


def test_lmms_eval_runs_its_tasks_through_the_entry_point(checkpoints, task_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    command = [sys.executable, "-m", "lmms_eval", "--model", "safe_llava", "--batch_size", "8", "--log_samples"]
    command += ["--model_args", f"pretrained={checkpoints / 'alarmed'}", "--include_path", str(task_folder)]
    command += ["--tasks", ",".join(TASKS), "--output_path", str(tmp_path / "out"), "--gen_kwargs", "max_new_tokens=8"]
    subprocess.run(command, check=True, cwd=tmp_path)
    (file,) = (tmp_path / "out").glob("*/[0-9]*_results.json")
    results = json.loads(file.read_text())
    assert {task: results["n-samples"][task]["effective"] for task in TASKS} == dict(zip(TASKS, (16, 4, 3, 6)))
    assert [results["throughput"][f"avg_{task}_hint"] for task in TASKS] == [16, 4, 3, 6]


def test_the_runner_reads_what_lmms_eval_leaves(checkpoints, task_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    results = run_utility(
        checkpoints / "alarmed",
        tasks=["mmbench_en_dev_static_local"],
        output_dir=tmp_path / "out",
        safety_policy=SafetyPolicy.from_dict(REFUSE_ALL),
        include_path=task_folder,
    )
    result = results["model"]["mmbench_en_dev_static_local"]
    assert result["figures"]["gpt_eval_score"] == {"value": 0.0, "stderr": 0.0, "higher_is_better": True}
    assert result["policy"]["refuse"] == {"samples": 4, "right": 0.0}
