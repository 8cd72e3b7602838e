"""Each change makes exactly those steps stale that stand behind it."""

from pathlib import Path

import pytest

from recipes.reproduce.reproduction_config import read_reproduction
from recipes.reproduce.reproduction_steps import build_steps
from recipes.steps import step_records
from recipes.steps.step_records import StepRecords


GETS = ["get-psa", "get-clean", "get-validation", "get-bench"]
LAST = ["calibrate", "evaluate", "results"]
NAMES = {"get-psa": "train.json", "get-clean": "train.json", "get-validation": "a.json"}
ALL = [*GETS, "check1", "check2", "convert", "stage1", "stage2", *LAST]


@pytest.fixture
def stale(write_config, fields):
    """The steps that are not done, by the file as it stands."""

    def read() -> list[str]:
        config = write_config()
        states = StepRecords(Path("out")).states(build_steps(config, read_reproduction(config)))
        return [name for name, state in states.items() if state.name != "done"]

    config = write_config()
    records = StepRecords(Path("out"))
    for step in build_steps(config, read_reproduction(config)):
        records.start(step)
        for files in step.outputs:
            path = files.path if files.path.suffix else files.path / NAMES.get(step.name, "file.json")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(step.name)
        records.finish(step)
    assert read() == []
    return read


def test_nothing_is_done_before_anything_ran(write_config):
    config = write_config()
    states = StepRecords(Path("out")).states(build_steps(config, read_reproduction(config)))
    assert [*states] == ALL
    assert {state.name for state in states.values()} == {"to do"}


BEHIND = {
    "base/config.json": ["convert", "stage1", "stage2", *LAST],
    "sets/psa/train.json": ["get-psa", "check1", "stage1", "stage2", *LAST],
    "sets/validation/a.json": ["get-validation", *LAST],
    "out/converted/file.json": ["convert", "stage1", "stage2", *LAST],
    "out/check1/file.json": ["check1", "stage1", "stage2", *LAST],
    "out/stage1/file.json": ["stage1", "stage2", *LAST],
    "out/stage2/file.json": ["stage2", *LAST],
    "out/stage2/config.json": LAST,
    "out/stage2/evaluation.json": ["evaluate", "results"],
    "out/stage2/README.md": ["results"],
    "out/calibration/file.json": LAST,
    "out/evaluation/file.json": ["evaluate", "results"],
    "out/metrics.json": ["results"],
}
"""By the file that is changed: its step, for it did not leave the file so, and those that read it."""


@pytest.mark.parametrize("path", BEHIND)
def test_a_changed_file_makes_its_step_and_those_behind_stale(stale, path):
    Path(path).write_text("changed")
    assert stale() == BEHIND[path]


FIELDS = {
    "a field of stage 1": (("stage1", "fields", "learning_rate"), 1e-4, ["stage1", "stage2", *LAST]),
    "the mix of stage 1": (("stage1", "fields", "clean_to_risky"), 1, ["check1", "stage1", "stage2", *LAST]),
    "a field of stage 2": (("stage2", "fields", "learning_rate"), 1e-4, ["stage2", *LAST]),
    "the mix of stage 2": (("stage2", "fields", "clean_to_risky"), 1, ["check2", "stage2", *LAST]),
    "rows for the forecast": (("stage1", "rows"), 11, []),
    "an option of convert": (("convert", "num_safety_tokens"), 9, ["convert", "stage1", "stage2", *LAST]),
    "an option of calibrate": (("calibrate", "min_examples"), 9, LAST),
    "an option of evaluate": (("evaluate", "limit"), 9, ["evaluate", "results"]),
    "words of the card": (("data",), "Other.", ["results"]),
    "the seed": (("seed",), 1, ["check1", "check2", "convert", "stage1", "stage2", *LAST]),
    "the number of GPUs": (("gpus",), 8, []),
    "how a set is got": (("sets", "bench", "get"), "true", ["get-bench", "evaluate", "results"]),
}


@pytest.mark.parametrize("change", FIELDS)
def test_a_changed_field_makes_exactly_the_steps_behind_it_stale(stale, fields, change):
    (*path, name), value, expected = FIELDS[change]
    place = fields
    for key in path:
        place = place[key]
    place[name] = value
    assert stale() == expected


def test_another_version_makes_everything_stale(stale, monkeypatch):
    monkeypatch.setattr(step_records, "__version__", "99")
    assert stale() == ALL


def test_a_run_on_other_gpus_trains_the_same_in_as_many_processes(write_config):
    config = write_config()
    commands = {}
    for gpus in (0, 1, 8):
        steps = {step.name: step for step in build_steps(config, read_reproduction(config, gpus))}
        commands[gpus] = " ".join(steps["stage1"].command)
    assert "--cpu" in commands[0]
    assert "one_gpu.yaml" in commands[1]
    assert "ddp.yaml --num_processes 8" in commands[8]


@pytest.mark.parametrize(("on_bad_rows", "codes"), [("raise", (0,)), ("skip", (0, 1))])
def test_broken_rows_stop_a_run_unless_the_recipe_skips_them(write_config, fields, on_bad_rows, codes):
    fields["stage1"]["fields"]["on_bad_rows"] = on_bad_rows
    config = write_config()
    steps = {step.name: step for step in build_steps(config, read_reproduction(config))}
    assert steps["check1"].accepted_codes == codes
    assert {step.accepted_codes for name, step in steps.items() if name != "check1"} == {(0,)}
