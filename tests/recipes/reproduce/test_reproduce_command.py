"""`python -m recipes.reproduce`: what it says before it runs, which steps it runs, and what a failure leaves."""

import fcntl
import importlib.util
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from recipes.reproduce import __main__ as reproduction
from recipes.steps.file_digests import Files
from recipes.steps.step_records import Step


app = typer.Typer()
app.command()(reproduction.main)


@pytest.fixture
def reproduce(write_config):
    """`reproduce("--dry-run")` writes the file as `fields` stand, and runs the command on it."""

    def run(*options: str) -> Result:
        return CliRunner().invoke(app, ["--config", str(write_config()), *options], env={"COLUMNS": "200"})

    return run


def log() -> list[str]:
    """The lines of the log without their times."""
    path = Path("out/steps.log")
    return [line.partition(" ")[2] for line in path.read_text().splitlines()] if path.exists() else []


def test_a_dry_run_prints_each_step_with_its_state_and_a_command_to_copy(reproduce):
    result = reproduce("--dry-run")
    assert result.exit_code == 0, result.output
    for step in ("get-psa (to do)", "check1 (to do: behind get-psa)", "stage2 (to do: behind stage1)"):
        assert step in result.output
    for command in (
        "safe-llava data check --config out/recipes/stage1.yaml",
        "safe-llava convert base out/converted --num-safety-tokens 8 --seed 0",
        "accelerate launch --cpu --num_processes 1 recipes/train.py --config out/recipes/stage2.yaml",
        "safe-llava calibrate out/stage2 sets/validation/a.json",
        "safe-llava evaluate --model out/stage2 --base base",
    ):
        assert command in result.output
    assert Path("out/recipes/stage2.yaml").is_file()
    assert log() == []


def test_a_dry_run_states_the_terms_of_every_set(reproduce, fields):
    output = reproduce("--dry-run").output
    for name, found in fields["sets"].items():
        assert f"{name}: {found['licence']}" in output


def test_hours_and_memory_are_said_to_be_computed(reproduce, fields):
    fields["gpus"] = 1
    output = reproduce("--dry-run").output
    assert output.count("Computed, not measured.") == 2
    assert "GPU hours at 125 TFLOP/s" in output


MISSING = {
    "a root": (lambda fields: fields["sets"]["psa"].pop("get"), "sets/psa/train.json is not there", "none stated"),
    "a benchmark": (lambda fields: fields["sets"].pop("bench"), "sets/bench is not there", ""),
    "a login": (lambda fields: _gate(fields["sets"]["psa"]), "a login to the Hub: psa is gated", "hf auth login"),
    "a login to push": (lambda fields: fields.update(push_to="org/m"), "a login to the Hub, to push", "hf auth login"),
    "a GPU": (lambda fields: fields.update(gpus=64), "GPUs: stage1 wants 64", "--gpus N"),
    "a judge's key": (lambda fields: fields["evaluate"].update(judge="openai/x"), "OPENAI_API_KEY", "openai/x"),
    "disk": (lambda fields: fields["sets"]["psa"].update(gigabytes=1e9), "disk: ", "are free"),
}


def _gate(found: dict) -> None:
    found.pop("get")
    found.update(hub="org/psa", licence="gated")


EXTRAS = {"inspect_ai": "safe-llava[evaluation]", "imagehash": "safe-llava[audit]", "lmms_eval": "lmms-eval"}


@pytest.mark.parametrize("module", EXTRAS)
def test_a_package_that_a_later_step_needs_is_named_before_the_first(reproduce, fields, module, monkeypatch):
    fields["evaluate"]["suite"] = ["safety", "utility"]
    fields["stage1"]["fields"]["benchmarks"] = {"vlguard": "sets/bench"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == module else True)
    result = reproduce("--dry-run")
    assert result.exit_code == 1
    assert EXTRAS[module] in result.output


@pytest.mark.parametrize("thing", MISSING)
def test_what_is_missing_is_named_before_anything_runs(reproduce, fields, thing, monkeypatch):
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    take_away, *words = MISSING[thing]
    take_away(fields)
    dry, wet = reproduce("--dry-run"), reproduce()
    assert (dry.exit_code, wet.exit_code) == (1, 1)
    assert all(word in dry.output and word in wet.output for word in words)
    assert log() == []


def test_a_single_step_runs_alone(reproduce):
    assert reproduce("--only", "get-clean").exit_code == 0
    assert log() == ["get-clean starts", "get-clean done"]


def test_a_single_step_that_is_done_runs_again(reproduce):
    reproduce("--only", "get-clean")
    assert reproduce("--only", "get-clean").exit_code == 0
    assert log() == ["get-clean starts", "get-clean done"] * 2


def test_a_single_step_does_not_run_on_what_is_not_there(reproduce):
    result = reproduce("--only", "check1")
    assert result.exit_code == 1
    assert "check1 needs get-psa, which is not done" in result.output
    assert log() == []


def test_a_run_from_a_step_on_wants_those_before_done(reproduce):
    result = reproduce("--from", "stage1")
    assert result.exit_code == 1
    assert "stage1 comes behind get-psa, which is not done" in result.output


@pytest.mark.parametrize("option", ["--only", "--from", "--done"])
def test_an_unknown_step_is_named_with_those_that_there_are(reproduce, option):
    result = reproduce(option, "train")
    assert result.exit_code == 1
    assert "no step 'train'; there are get-psa" in result.output


def test_a_step_that_was_run_by_hand_counts_once_that_is_said(reproduce):
    Path("out/converted").mkdir(parents=True)
    Path("out/converted/model.safetensors").write_text("by hand")
    assert "--done convert" in reproduce("--only", "convert").output
    assert reproduce("--done", "convert").exit_code == 0
    assert "convert (done)" in reproduce("--dry-run").output


@pytest.mark.parametrize("code", [1, 7])
def test_the_exit_code_of_a_step_that_fails_is_passed_on_and_nothing_counts_as_done(reproduce, fields, code):
    fields["sets"]["psa"]["get"] = f"python -c \"open('half', 'w'); raise SystemExit({code})\""
    result = reproduce()
    assert result.exit_code == code
    assert "get-psa failed" in result.output
    assert log() == ["get-psa starts", f"get-psa failed with exit code {code}"]
    assert "get-psa (half done)" in reproduce("--dry-run").output


@pytest.mark.parametrize(("codes", "exit_code"), [((0,), 1), ((0, 1), 0)])
def test_an_exit_code_that_a_step_accepts_ends_it_well(reproduce, monkeypatch, clone, codes, exit_code):
    command = ["python", "-c", "open('figures.json', 'w'); raise SystemExit(1)"]
    step = Step("check1", "a check", command, (), (Files(clone / "figures.json"),), accepted_codes=codes)
    monkeypatch.setattr(reproduction, "build_steps", lambda *args: [step])
    assert reproduce().exit_code == exit_code


def test_a_step_that_writes_nothing_is_not_done(reproduce, fields):
    fields["sets"]["psa"]["get"] = 'python -c ""'
    result = reproduce("--only", "get-psa")
    assert result.exit_code == 1
    assert "sets/psa is not there" in result.output


def test_a_second_run_in_the_same_folder_is_refused_but_may_be_looked_at(reproduce, clone):
    (clone / "out").mkdir()
    with (clone / "out" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result, dry = reproduce("--only", "get-psa"), reproduce("--dry-run")
    assert (result.exit_code, dry.exit_code) == (1, 0)
    assert "at work in out" in result.output
    assert log() == []
