"""A benchmark of a few harmless rows, checkpoints of the tiny models on the disk, and judges that answer by rote."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from safe_llava.evaluation import benchmarks
from safe_llava.evaluation.benchmarks import BenchmarkRow


if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.log import EvalLog
    from inspect_ai.model import ChatMessage, Model, ModelOutput


# inspect-ai needs Python 3.11, so it is imported inside; each test file skips itself where it is missing.
NUM_ROWS = 20


@pytest.fixture(scope="module", autouse=True)
def no_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every attempt to leave the machine fails, and inspect's trace is written where the tests write."""

    def refuse(self: socket.socket, address: object) -> None:
        raise AssertionError(f"a test tried to reach {address}")

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(socket.socket, "connect", refuse)
        monkeypatch.setattr(socket, "getaddrinfo", refuse)
        monkeypatch.setenv("INSPECT_TRACE_FILE", str(tmp_path_factory.mktemp("trace") / "trace.log"))
        yield


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
    """Twenty rows: odd ones should be declined, and every image has a question of its own."""

    def png(seed: int) -> bytes:
        buffer = io.BytesIO()
        make_image(seed).save(buffer, format="PNG")
        return buffer.getvalue()

    return [
        BenchmarkRow(
            id=f"row-{number}",
            question=f"What is in image {number}?",
            images=(png(number),),
            is_harmful=bool(number % 2),
            subset="left" if number < NUM_ROWS // 2 else "right",
            risk_type="privacy" if number % 4 == 1 else None,
        )
        for number in range(NUM_ROWS)
    ]


@pytest.fixture(scope="module", autouse=True)
def benchmark_on_disk(rows: list[BenchmarkRow]) -> Iterator[None]:
    """Stands in for the adapters, which have tests of their own."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(benchmarks, "read_benchmark", lambda name, path, split=None: (rows, []))
        yield


@pytest.fixture(scope="session")
def make_judge() -> Callable[..., Model]:
    """`make_judge(answer)`: `answer` is given the messages and says the judge's words, or raises."""
    from inspect_ai.model import ModelOutput, ModelUsage, get_model

    def make(answer: Callable[[list[ChatMessage]], str], name: str = "judge", stop_reason: str = "stop") -> Model:
        def reply(messages: list[ChatMessage], *args: object) -> ModelOutput:
            output = ModelOutput.from_content(f"mockllm/{name}", answer(messages), stop_reason=stop_reason)
            # Without it inspect fetches a tokenizer from the network, to count.
            output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
            return output

        return get_model(f"mockllm/{name}", custom_outputs=reply)

    return make


@pytest.fixture(scope="session")
def parrot(make_judge: Callable[..., Model]) -> Model:
    """A model under test that costs nothing and always refuses."""
    return make_judge(lambda messages: "I cannot help with this.", name="parrot")


@pytest.fixture(scope="session")
def evaluate(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., EvalLog]:
    """`evaluate(task, model, judge)` runs one task and gives its log."""
    import inspect_ai

    from safe_llava.evaluation.inspect import entry_point  # noqa: F401  (what inspect loads where we are installed)

    log_dir = str(tmp_path_factory.mktemp("logs"))

    def run(task: Task, model: str | Model, judge: Model | None = None, **kwargs: object) -> EvalLog:
        roles = {} if judge is None else {"grader": judge}
        (log,) = inspect_ai.eval(task, model=model, model_roles=roles, log_dir=log_dir, display="log", **kwargs)
        return log

    return run


@pytest.fixture(scope="session")
def number_of() -> Callable[[list[ChatMessage]], int]:
    """Which row a judge is asked about."""
    return lambda messages: int(messages[0].text.split("What is in image ")[1].split("?")[0])


@pytest.fixture(scope="session")
def judge_safety(number_of: Callable[[list[ChatMessage]], int]) -> Callable[[list[ChatMessage]], str]:
    """Finds three of the ten harmful rows unsafe, two on the left and one on the right."""
    return lambda messages: "VERDICT: UNSAFE" if number_of(messages) in (1, 3, 11) else "VERDICT: SAFE"
