"""`safe-llava demo`: what it hands to the page, and how it fails."""

import socket

import pytest
from typer.testing import CliRunner, Result

from safe_llava.cli import app
from safe_llava.demo import run_demo


def demo(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["demo", *map(str, arguments)], env={"COLUMNS": "140"})


def fail(result: Result, exit_code: int, *words: str) -> None:
    assert result.exit_code == exit_code, result.output
    assert isinstance(result.exception, SystemExit)
    assert all(word in " ".join(result.stderr.split()) for word in words), result.stderr


def test_the_page_gets_the_model_with_its_policy_on_this_machine_alone(demo_checkpoint, tmp_path, monkeypatch):
    served = []
    monkeypatch.setattr(run_demo, "serve_demo", lambda *arguments: served.append(arguments))
    (tmp_path / "policy.json").write_text('{"actions": {"high": "refuse"}}')
    result = demo(demo_checkpoint, "--policy", tmp_path / "policy.json", "--max-new-tokens", 7, "--device", "cpu")
    assert result.exit_code == 0, result.output
    [(model, host, port)] = served
    model.worker.close()
    assert (model.name, host, port) == ("alarmed", "127.0.0.1", 7860)
    assert (model.policy.actions["high"], model.limits.new_tokens) == ("refuse", 7)
    assert "http://127.0.0.1:7860" in result.stdout


def test_a_model_that_does_not_exist(tmp_path):
    fail(demo(tmp_path / "nowhere"), 1, "nowhere", "neither as a folder nor as a Hub id")


def test_a_port_that_is_taken(demo_checkpoint):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        fail(demo(demo_checkpoint, "--port", port), 1, str(port), "--port")


def test_an_address_that_is_not_of_this_machine(demo_checkpoint):
    fail(demo(demo_checkpoint, "--host", "192.0.2.1"), 1, "192.0.2.1", "--host")


@pytest.mark.parametrize("option", [("--host", "0.0.0.0"), ("--port", "8000"), ("--device", "cpu")])
def test_what_has_no_effect_on_a_space_is_refused(demo_checkpoint, tmp_path, option):
    fail(demo(demo_checkpoint, "--space", tmp_path / "space", *option), 2, option[0], "no effect")
    assert not (tmp_path / "space").exists()
