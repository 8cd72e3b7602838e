"""A step counts as done when it ended well, its output is whole, and all that it was made from is as it was."""

import os
from pathlib import Path

import pytest

import safe_llava
from recipes.steps import step_records
from recipes.steps.file_digests import Files
from recipes.steps.step_records import Step, StepRecords


@pytest.fixture
def step(tmp_path) -> Step:
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "rows.json").write_text("[1]")
    return Step(
        "train",
        "a training",
        ["train", "--lr", "1"],
        inputs=(Files(tmp_path / "input"),),
        outputs=(Files(tmp_path / "model", frozenset({"README.md"})),),
        values={"lr": 1, "mix": {"a": 2}},
        folder=tmp_path / "model",
        goes_on=True,
        resume_option="--resume",
    )


@pytest.fixture
def records(tmp_path) -> StepRecords:
    return StepRecords(tmp_path)


def write_output(step: Step, text: str = "weights") -> None:
    step.folder.mkdir(exist_ok=True)
    (step.folder / "model.safetensors").write_text(text)


@pytest.fixture
def done(records, step) -> StepRecords:
    records.start(step)
    write_output(step)
    records.finish(step)
    assert records.state(step).name == "done"
    return records


def test_a_step_that_never_ran_is_to_do(records, step):
    assert records.state(step).name == "to do"


def test_output_that_a_kill_left_does_not_count(records, step):
    records.start(step)
    write_output(step)
    assert StepRecords(records.output_dir).state(step).name == "half done"


def test_a_finished_step_that_runs_again_does_not_count_until_it_ends(done, step):
    done.start(step)
    write_output(step)
    assert done.state(step).name == "half done"


def test_a_step_without_its_output_does_not_finish(records, step):
    records.start(step)
    with pytest.raises(FileNotFoundError, match="model"):
        records.finish(step)


def test_input_that_changes_while_a_step_runs_makes_it_stale(records, step):
    records.start(step)
    (step.inputs[0].path / "rows.json").write_text("[2]")
    write_output(step)
    records.finish(step)
    assert records.state(step).name == "stale"


def test_output_that_was_made_by_hand_counts_with_what_is_there_now(records, step):
    write_output(step)
    records.accept(step)
    assert records.state(step).name == "done"


CHANGES = {
    "input": lambda step: (step.inputs[0].path / "rows.json").write_text("[2]"),
    "more input": lambda step: (step.inputs[0].path / "more.json").write_text("[]"),
    "less input": lambda step: (step.inputs[0].path / "rows.json").unlink(),
    "output": lambda step: write_output(step, "otherwise"),
    "less output": lambda step: (step.folder / "model.safetensors").unlink(),
    "value": lambda step: step.values.update(lr=2),
    "value deep down": lambda step: step.values["mix"].update(a=3),
    "value that came": lambda step: step.values.update(seed=1),
    "value that went": lambda step: step.values.pop("lr"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_makes_a_step_stale(done, step, change):
    CHANGES[change](step)
    assert StepRecords(done.output_dir).state(step).name == "stale"


def test_another_version_of_the_package_makes_a_step_stale(done, step, monkeypatch):
    monkeypatch.setattr(step_records, "__version__", "99")
    assert str(done.state(step)) == f"stale: safe-llava {safe_llava.__version__} has become 99"


def test_a_stale_step_names_what_changed(done, step):
    step.values["lr"] = 2
    assert str(done.state(step)) == "stale: lr has changed"


UNTOUCHED = {
    "times": lambda step: os.utime(step.inputs[0].path / "rows.json", (1, 1)),
    "a file of another step": lambda step: (step.folder / "README.md").write_text("card"),
    "a hidden file": lambda step: (step.folder / ".lock").write_text(""),
    "a checkpoint": lambda step: (step.folder / "checkpoint-3").mkdir(),
    "the command line alone": lambda step: step.command.append("--num_processes"),
}


@pytest.mark.parametrize("change", UNTOUCHED)
def test_what_is_not_the_steps_own_leaves_it_done(done, step, change):
    UNTOUCHED[change](step)
    assert StepRecords(done.output_dir).state(step).name == "done"


def test_a_finished_output_is_kept_beside_the_new_one(done, step):
    done.start(step)
    assert not step.folder.exists()
    assert (step.folder.with_name("model.before") / "model.safetensors").read_text() == "weights"


def test_what_a_killed_run_left_stays_for_a_command_that_goes_on(records, step):
    records.start(step)
    write_output(step)
    records.start(step)
    assert (step.folder / "model.safetensors").exists()


def test_what_a_killed_run_of_another_recipe_left_goes(records, step):
    records.start(step)
    write_output(step)
    step.values["lr"] = 2
    records.start(step)
    assert not step.folder.exists()


def test_what_a_killed_command_wrote_beside_its_output_goes(records, step):
    records.start(step)
    leftover = step.folder.with_name(".model-x1y2")
    leftover.mkdir()
    records.start(step)
    assert not leftover.exists()


def test_a_folder_that_no_step_wrote_is_not_touched(records, step):
    write_output(step)
    with pytest.raises(ValueError, match="--done train"):
        records.start(step)
    assert (step.folder / "model.safetensors").exists()


def write_checkpoint(step: Step, number: int, whole: bool = True) -> Path:
    folder = step.folder / f"checkpoint-{number}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text("")
    if whole:
        (folder / "trainer_state.json").write_text("{}")
    return folder


def test_a_training_goes_on_from_its_last_whole_checkpoint(records, step):
    records.start(step)
    write_checkpoint(step, 9)
    last = write_checkpoint(step, 10)
    write_checkpoint(step, 11, whole=False)
    assert records.start(step) == ["train", "--lr", "1", "--resume", str(last)]


def test_a_training_that_starts_anew_takes_no_checkpoint_of_the_old_one(records, step):
    records.start(step)
    write_checkpoint(step, 10)
    step.values["lr"] = 2
    assert records.start(step) == ["train", "--lr", "1"]
