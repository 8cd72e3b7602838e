"""`safe-llava serve` as a process: signals, and what is left when it is killed."""

import copy
import json
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from serving.leaving_clients import PATIENCE, wait_for
from serving.request_bodies import acting, chat_body, image_part, text_part
from typer.testing import CliRunner, Result

from safe_llava import SafeLlavaForConditionalGeneration
from safe_llava.cli import app
from safe_llava.models.safety_labels import RISK_TYPES
from safe_llava.serving import run_server


SLOW = pytest.mark.slow
REFUSING = acting("refuse", refusals=dict.fromkeys(RISK_TYPES, "No, thanks."))


@pytest.fixture(scope="module")
def checkpoint(alarmed_safe_llava, tiny_processor, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "tiny"
    model = copy.deepcopy(alarmed_safe_llava)
    model.generation_config.eos_token_id = None  # answers are as long as they may be
    model.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


class Process:
    """The command, listening on loopback."""

    def __init__(self, checkpoint: Path, folder: Path):
        folder.mkdir()
        self.policy, self.log = folder / "policy.json", folder / "audit.jsonl"
        self.policy.write_text(json.dumps(acting("answer")))
        options = ["--policy", self.policy, "--audit-log", self.log, "--port", "0", "--device", "cpu"]
        command = [sys.executable, "-m", "safe_llava", "serve", checkpoint, *options]
        self.process = subprocess.Popen(
            [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def listen(self) -> httpx2.Client:
        """Waits until it listens."""
        self.said: list[str] = []
        for line in self.process.stdout:
            self.said.append(line)
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                return httpx2.Client(base_url=found.group(), timeout=PATIENCE)
        raise AssertionError("".join(self.said))

    def read_until(self, text: str) -> str:
        return next(line for line in self.process.stdout if text in line)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture(scope="module")
def processes(checkpoint, tmp_path_factory) -> Iterator[list[Process]]:
    """Two that start at the same time."""
    folder = tmp_path_factory.mktemp("serving")
    started = [Process(checkpoint, folder / name) for name in ("first", "second")]
    yield started
    for process in started:
        process.process.kill()
        process.process.wait()


@SLOW
def test_signals_change_the_policy_and_end_the_server_without_half_an_answer(processes, image_url):
    process = processes[0]
    client = process.listen()

    def ask(**fields):
        return client.post("/v1/chat/completions", json=chat_body(image_part(image_url), **fields))

    assert ask().json()["choices"][0]["message"]["refusal"] is None
    process.policy.write_text("{")
    process.process.send_signal(signal.SIGHUP)
    assert "policy.json" in process.read_until("stays")
    assert ask().json()["choices"][0]["message"]["refusal"] is None
    process.policy.write_text(json.dumps(REFUSING))
    process.process.send_signal(signal.SIGHUP)
    process.read_until("now")
    assert ask().json()["choices"][0]["message"]["refusal"] == "No, thanks."

    replies: list[Any] = []
    # Long against the time that the next request takes to arrive, however slow the machine is for both.
    body = chat_body(text_part("Who is this?"), max_tokens=400, n=4)
    with client.stream("POST", "/v1/chat/completions", json=body | {"stream": True}) as running:
        events = running.iter_lines()
        next(events)
        waiting = threading.Thread(
            target=lambda: replies.append(
                httpx2.post(client.base_url.join("/v1/chat/completions"), json=body, timeout=PATIENCE)
            )
        )
        waiting.start()
        wait_for(lambda: len([line for line in process.lines() if line["event"] == "assessed"]) == 5)
        process.process.send_signal(signal.SIGTERM)
        last = [line for line in events if line][-1]
    waiting.join()
    assert last == "data: [DONE]"
    assert replies[0].status_code == 503
    assert process.process.wait(PATIENCE) == 0
    outcomes = [line["outcome"] for line in process.lines() if line["event"] == "answered"]
    assert outcomes == ["whole", "whole", "shutting_down", "whole"]


@SLOW
def test_a_kill_loses_no_line_that_an_answer_has_left_behind(processes, image_url):
    process = processes[1]
    client = process.listen()
    answered: list[str] = []

    def ask() -> None:
        body = chat_body(image_part(image_url), max_tokens=3)
        try:
            while True:
                answered.append(client.post("/v1/chat/completions", json=body).json()["id"])
        except (httpx2.HTTPError, ValueError):
            pass

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(answered) >= 40)
    process.process.kill()
    for thread in threads:
        thread.join()
    text = process.log.read_text()
    lines = [json.loads(line) for line in text[: text.rindex("\n")].splitlines()]
    for event in ("assessed", "answered"):
        assert set(answered) <= {line["id"] for line in lines if line["event"] == event}


def start(folder: Path | str, tmp_path: Path, *options: str) -> Result:
    options = ("--audit-log", str(tmp_path / "audit.jsonl"), "--device", "cpu", *options)
    return CliRunner().invoke(app, ["serve", str(folder), *options])


def test_a_model_without_a_policy_is_not_served(tiny_safe_llava, tiny_processor, tmp_path):
    model = copy.deepcopy(tiny_safe_llava)
    model.set_safety_policy(None)
    model.save_pretrained(tmp_path / "model")
    tiny_processor.save_pretrained(tmp_path / "model")
    result = start(tmp_path / "model", tmp_path)
    assert (result.exit_code, "--policy FILE" in result.output) == (1, True)


def test_a_model_without_a_safety_head_is_not_served(tiny_safe_llava, tiny_processor, tmp_path):
    config = copy.deepcopy(tiny_safe_llava.config)
    config.use_safety_head = False
    SafeLlavaForConditionalGeneration(config).save_pretrained(tmp_path / "model")
    tiny_processor.save_pretrained(tmp_path / "model")
    result = start(tmp_path / "model", tmp_path)
    assert (result.exit_code, "no safety head" in result.output) == (1, True)


def test_a_port_that_is_taken_is_said_in_a_line(checkpoint, tmp_path):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        result = start(checkpoint, tmp_path, "--port", str(other.getsockname()[1]))
    assert result.exit_code == 1
    assert "port" in result.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        *[
            ((option, " "), f"{option} is empty")
            for option in ("--api-key", "--host", "--name", "--upstream", "--upstream-api-key", "--upstream-model")
        ],
        *[
            (("--upstream", url), "base URL")
            for url in ("localhost:8001", "/v1", "file:///v1", "http://", "http://a/v1?key=1")
        ],
        (("--allow-image-hosts", "https://a.b/"), "host"),
        (("--upstream-model", "theirs"), "--upstream"),
        (("--upstream-images", "embeds"), "--upstream"),
    ],
)
def test_an_option_that_would_have_no_effect_is_an_error(checkpoint, tmp_path, options, message):
    result = start(checkpoint, tmp_path, *options)
    assert (result.exit_code, message in result.output) == (1, True)


@pytest.mark.parametrize("name", ["SAFE_LLAVA_API_KEY", "SAFE_LLAVA_UPSTREAM_API_KEY"])
def test_a_key_that_the_environment_forgot_leaves_nothing_open(checkpoint, tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "")
    result = start(checkpoint, tmp_path)
    assert (result.exit_code, f"{name} is empty" in result.output) == (1, True)


@pytest.mark.parametrize("path", [".", "../tiny", "../tiny/"])
def test_a_folder_gives_its_name_however_it_is_written(checkpoint, tmp_path, monkeypatch, path):
    served: list[str] = []
    monkeypatch.setattr(run_server, "run_server", lambda model, settings, **options: served.append(settings.name))
    monkeypatch.chdir(checkpoint)
    assert start(path, tmp_path).exit_code == 0
    assert served == ["tiny"]
