"""A recipe run from Python: what appears, what is told on the way, how it fails. The recipe itself is a stand-in."""

import json

import pytest

from safe_llava import run_recipe as module
from safe_llava.run_recipe import run_recipe


TRAINING = """
import json, os, sys, time
from pathlib import Path

fields = dict(zip(sys.argv[1::2], sys.argv[2::2]))
rank = os.environ.get("RANK", "0")
print({"loss": "2.5", "epoch": "0.5"}, flush=True)
if fields.get("--fail") == rank:
    sys.exit("cannot train on this")
if "--fail" in fields:
    time.sleep(600)
    Path("went-on.txt").touch()
while "--wait_for" in fields and not Path(fields["--wait_for"]).exists():
    time.sleep(0.01)
folder = Path(fields["--output_dir"])
folder.mkdir(exist_ok=True)
variables = {name: os.environ.get(name) for name in ("RANK", "WORLD_SIZE", "MASTER_PORT")}
(folder / f"{rank}.json").write_text(json.dumps({"fields": fields, "variables": variables}))
"""


@pytest.fixture(autouse=True)
def training(tmp_path, monkeypatch):
    (tmp_path / "train.py").write_text(TRAINING)
    monkeypatch.setattr(module, "RECIPES", tmp_path)
    monkeypatch.chdir(tmp_path)


def run(folder, **fields):
    run_recipe(folder / "stage.yaml", folder / "model", folder / "trained", 3, **fields)
    return [json.loads(path.read_text()) for path in sorted((folder / "trained").glob("*.json"))]


def test_fields_overrule_the_recipe(tmp_path):
    (made,) = run(tmp_path, num_train_epochs=2)
    assert made["fields"]["--config"] == str(tmp_path / "stage.yaml")
    assert (made["fields"]["--seed"], made["fields"]["--num_train_epochs"]) == ("3", "2")
    assert made["variables"]["WORLD_SIZE"] is None


def test_several_processes_form_one_group(tmp_path):
    first, second = (made["variables"] for made in run(tmp_path, num_processes=2))
    assert (first["RANK"], second["RANK"]) == ("0", "1")
    assert first["WORLD_SIZE"] == second["WORLD_SIZE"] == "2"
    assert first["MASTER_PORT"] == second["MASTER_PORT"] != "0"


def test_what_training_prints_goes_to_the_log_and_its_epochs_are_told(tmp_path, capfd):
    log, told = tmp_path / "log.txt", set()
    log.write_text("{'epoch': '0.25'} of the stage before\n")
    is_told = tmp_path / "is-told.txt"
    run(tmp_path, log=log, on_epoch=lambda epoch: (told.add(epoch), is_told.touch()), wait_for=is_told)
    assert told == {0.5}
    assert log.read_text().splitlines()[0].endswith("before")
    assert "'loss': '2.5'" in log.read_text()
    assert capfd.readouterr() == ("", "")


def test_a_failure_ends_all_processes_and_names_the_log_with_its_last_lines(tmp_path):
    with pytest.raises(ChildProcessError, match=r"(?s)stage\.yaml.*log\.txt.*cannot train on this"):
        run(tmp_path, num_processes=2, log=tmp_path / "log.txt", fail=1)
    assert not (tmp_path / "went-on.txt").exists()  # The other process would have slept and gone on.
    assert not (tmp_path / "trained").exists()


def test_nothing_of_a_failed_run_is_left_in_the_next(tmp_path):
    (tmp_path / "trained.partial").mkdir()
    (tmp_path / "trained.partial" / "left.json").write_text("{}")
    assert len(run(tmp_path)) == 1
