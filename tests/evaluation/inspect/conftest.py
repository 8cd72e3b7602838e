"""A benchmark of a few harmless rows, checkpoints of the tiny models on the disk, and judges that answer by rote."""

import io
import socket
from collections.abc import Callable
from pathlib import Path

import pytest


pytest.importorskip("inspect_ai", reason="inspect-ai needs Python 3.11")

import inspect_ai
from inspect_ai.log import EvalLog
from inspect_ai.model import ChatMessage, Model, ModelOutput, ModelUsage, get_model

from safe_llava.evaluation import benchmarks
from safe_llava.evaluation.benchmarks.row import BenchmarkRow
from safe_llava.evaluation.inspect import entry_point, tasks  # noqa: F401  (what the entry point loads)


NUM_ROWS = 20


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every attempt to leave the machine fails, and inspect writes where the test does."""

    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"a test tried to reach {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("INSPECT_TRACE_FILE", str(tmp_path / "trace.log"))
    monkeypatch.setenv("INSPECT_DISPLAY", "none")


@pytest.fixture(scope="session")
def safe_llava_folder(tmp_path_factory, tiny_safe_llava, tiny_processor) -> Path:
    folder = tmp_path_factory.mktemp("safe_llava")
    tiny_safe_llava.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def alarmed_folder(tmp_path_factory, alarmed_safe_llava, tiny_processor) -> Path:
    folder = tmp_path_factory.mktemp("alarmed")
    alarmed_safe_llava.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def llava_folder(tmp_path_factory, tiny_llava, tiny_llava_processor) -> Path:
    folder = tmp_path_factory.mktemp("llava")
    tiny_llava.save_pretrained(folder)
    tiny_llava_processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def rows(make_image) -> list[BenchmarkRow]:
    """Twenty rows: odd ones should be declined, and every picture has a question of its own."""

    def png(seed: int) -> bytes:
        buffer = io.BytesIO()
        make_image(seed).save(buffer, format="PNG")
        return buffer.getvalue()

    return [
        BenchmarkRow(
            id=f"row-{number}",
            question=f"What is in picture {number}?",
            images=(png(number),),
            is_harmful=bool(number % 2),
            subset="left" if number < NUM_ROWS // 2 else "right",
            risk_type="privacy" if number % 4 == 1 else None,
        )
        for number in range(NUM_ROWS)
    ]


@pytest.fixture(autouse=True)
def benchmark_on_disk(monkeypatch: pytest.MonkeyPatch, rows: list[BenchmarkRow]) -> None:
    """Stands in for the adapters, which have tests of their own."""
    monkeypatch.setattr(benchmarks, "load_benchmark", lambda name, path, split=None: rows, raising=False)


@pytest.fixture
def make_judge() -> Callable[..., Model]:
    """`make_judge(answer)`: `answer` is given the messages and says the judge's words, or raises."""

    def make(answer: Callable[[list[ChatMessage]], str], name: str = "judge", stop_reason: str = "stop") -> Model:
        def reply(messages: list[ChatMessage], *args: object) -> ModelOutput:
            output = ModelOutput.from_content(f"mockllm/{name}", answer(messages), stop_reason=stop_reason)
            # Without it inspect fetches a tokenizer from the network, to count.
            output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
            return output

        return get_model(f"mockllm/{name}", custom_outputs=reply)

    return make


@pytest.fixture
def evaluate(tmp_path: Path) -> Callable[..., EvalLog]:
    """`evaluate(task, model, judge)` runs one task and gives its log."""

    def run(task: inspect_ai.Task, model: str | Model, judge: Model | None = None, **kwargs: object) -> EvalLog:
        roles = {} if judge is None else {"grader": judge}
        (log,) = inspect_ai.eval(
            task, model=model, model_roles=roles, log_dir=str(tmp_path / "logs"), display="none", **kwargs
        )
        return log

    return run
