"""`safe-llava audit`: what it leaves, what it says, and how it ends."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from safe_llava.audit.verdict_table import part_paths, read_verdicts
from safe_llava.cli import app


@pytest.fixture
def run(guard_checkpoint, tmp_path):
    def run(source: object, *more: object) -> Result:
        arguments = ["audit", source, "--model", guard_checkpoint, "--output-dir", tmp_path / "audit", *more]
        return CliRunner().invoke(app, [str(argument) for argument in (*arguments, "--device", "cpu")])

    return run


def test_unreadable_rows_show_in_what_it_says_and_in_the_exit_code(run, image_folder):
    result = run(image_folder)
    assert result.exit_code == 3
    assert "unreadable  3 2 not an image, 1 cut off" in result.output
    assert "  not an image: empty.jpg, text.png\n  cut off: cut-off.png\n" in result.output


def test_a_kind_of_fault_is_said_once_with_its_count_and_first_rows(run, tmp_path):
    rows = [{"image": f"gone-{number}.png"} for number in range(40)] + [{"image": 3}] * 7
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    said = run(tmp_path / "rows.jsonl").output
    assert "unreadable  47 40 missing, 7 not a row\n  missing: 0, 1, 2, 3, 4, ...\n" in said
    assert said.count("missing") == 2 and "  not a row: 40, 41, 42, 43, 44, ...\n" in said


def test_a_sound_folder_ends_with_zero(run, make_image, tmp_path):
    (tmp_path / "images").mkdir()
    make_image(0).save(tmp_path / "images" / "a.png")
    assert run(tmp_path / "images").exit_code == 0


def test_a_launcher_is_not_made_to_start_again(run, image_folder, monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert run(image_folder).exit_code == 0


def test_everything_promised_is_there(run, image_folder, tmp_path):
    run(image_folder)
    names = {path.name for path in (tmp_path / "audit").iterdir()}
    assert {"verdicts", "summary.json", "keep.txt", "drop.txt", "report.html"} <= names
    assert not list((tmp_path / "audit").rglob("*.partial"))


@pytest.mark.parametrize(
    "source, more, message",
    [
        ("nowhere", (), "nowhere"),
        (".", ("--policy", "policy.json"), "policy.json"),
    ],
)
def test_bad_input_ends_in_one_line(run, source, more, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("policy.json").write_text("{")
    result = run(source, *more)
    assert result.exit_code == 1
    assert "Traceback" not in result.output and message in result.output


KILLED = """
import os, signal, sys
from safe_llava.cli import app

def replace(partial, path, move=os.replace):
    if os.fspath(path).endswith("shard-0000005-part-0000000.parquet"):
        os.kill(os.getpid(), signal.SIGKILL)
    move(partial, path)

os.replace = replace
app(sys.argv[1:])
"""


def test_a_killed_run_goes_on_where_it_was(guard_checkpoint, make_image, tmp_path):
    """It is killed when the file of its sixth shard is written, and has not its name yet."""
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(80):
        make_image(number).save(folder / f"{number:02}.png")
    options = ["--model", guard_checkpoint, "--output-dir", tmp_path / "audit", "--device", "cpu", "--shard-size", "8"]
    arguments = [str(argument) for argument in ("audit", folder, *options)]
    killed = subprocess.run([sys.executable, "-c", KILLED, *arguments], stderr=subprocess.DEVNULL)
    assert killed.returncode == -signal.SIGKILL
    assert len(part_paths(tmp_path / "audit" / "verdicts")) == 5

    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    keys = read_verdicts(tmp_path / "audit" / "verdicts")["key"].to_pylist()
    assert keys == [f"{number:02}.png" for number in range(80)]
    assert json.loads((tmp_path / "audit" / "summary.json").read_text())["rows"] == 80
