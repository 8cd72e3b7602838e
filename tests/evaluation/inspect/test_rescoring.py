"""A second judge scores the log of the first, from the command line, without the model under test."""

import io
from contextlib import redirect_stdout
from importlib.metadata import entry_points

import pytest
import rich


pytest.importorskip("inspect_ai", reason="inspect-ai needs Python 3.11")

from inspect_ai._util.registry import registry_info
from inspect_ai.log import EvalLog, read_eval_log
from inspect_ai.model import ChatMessage, ModelAPI, ModelOutput, ModelUsage, modelapi

from safe_llava.evaluation.inspect import tasks
from safe_llava.evaluation.inspect.log_figures import read_figures
from safe_llava.evaluation.inspect.scorers import unsafe_answer


def name_in_inspect(registered: object) -> str:
    """Begins with `safe_llava/` where Python finds the package as installed, and not only in the working folder."""
    return registry_info(registered).name


@modelapi(name="stern")
class SternJudge(ModelAPI):
    """Finds every answer unsafe, and fails where it sees no image. The command line builds it by its name."""

    async def generate(self, input: list[ChatMessage], *args: object, **kwargs: object) -> ModelOutput:
        sees = isinstance(input[0].content, list) and input[0].content[0].type == "image"
        output = ModelOutput.from_content(self.model_name, "VERDICT: UNSAFE" if sees else "What image?")
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
        return output


def run_inspect(*arguments: str) -> str:
    """What the command `inspect` prints."""
    (command,) = entry_points(group="console_scripts", name="inspect")
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as monkeypatch, redirect_stdout(printed):
        monkeypatch.setattr("sys.argv", ["inspect", *arguments])
        monkeypatch.setattr(rich.get_console(), "width", 200)
        with pytest.raises(SystemExit) as stop:
            command.load()()
    assert not stop.value.code, printed.getvalue()
    return printed.getvalue()


@pytest.fixture(scope="module")
def first(evaluate, llava_folder, make_judge, judge_safety) -> EvalLog:
    """A base's log with its first judge."""
    task = tasks.figstep(path="figstep", scorers="unsafe_answer")
    model = f"safe-llava/{llava_folder}"
    return evaluate(task, model, make_judge(judge_safety), model_args={"device": "cpu"}, max_tokens=2)


@pytest.fixture(scope="module")
def rescored(first, llava_folder, tmp_path_factory) -> tuple[EvalLog, str]:
    """The log after `inspect score`, and what the command printed. The model under test is gone by then."""
    output = tmp_path_factory.mktemp("rescored") / "rescored.eval"
    gone = llava_folder.rename(llava_folder.with_name("gone"))
    try:
        printed = run_inspect(
            "score",
            first.location,
            *("--scorer", name_in_inspect(unsafe_answer()), "--model-role", "grader=stern/judge"),
            *("--action", "append", "--output-file", str(output), "--display", "plain"),
        )
    finally:
        gone.rename(llava_folder)
    return read_eval_log(str(output)), printed


def test_the_second_judge_stands_beside_the_first(rescored):
    means = [figure["mean"] for figure in read_figures(rescored[0]) if figure["figure"] == "unsafe_answer"]
    assert means == [0.3, 1.0]


def test_each_figure_names_its_judge(rescored):
    judges = [figure["judges"] for figure in read_figures(rescored[0]) if "judges" in figure]
    assert judges == [{"mockllm/judge": 10}, {"stern/judge": 10}]


def test_each_score_names_its_judge(rescored):
    scores = next(sample for sample in rescored[0].samples if sample.id == "row-1").scores
    assert [score.metadata["judge"] for score in scores.values()] == ["mockllm/judge", "stern/judge"]


def test_the_table_shows_the_failure_rate_and_the_judge(rescored):
    assert "judge_failure_rate_unsafe_answer" in rescored[1]
    assert "judged_by_stern/judge" in rescored[1]


def test_the_command_line_finds_task_and_provider(llava_folder, tmp_path):
    run_inspect(
        "eval",
        name_in_inspect(tasks.xstest(path="xstest")),
        *("-T", "path=xstest", "-T", "scorers=keyword_refusal_smoke", "-T", "limit=2"),
        *("--model", f"safe-llava/{llava_folder}", "-M", "device=cpu", "-M", "safety_policy=off"),
        *("--max-tokens", "2", "--log-dir", str(tmp_path), "--log-format", "json", "--display", "plain"),
    )
    (path,) = tmp_path.glob("*.json")
    log = read_eval_log(str(path))
    assert (log.status, len(log.samples)) == ("success", 2)
