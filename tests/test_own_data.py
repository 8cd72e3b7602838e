"""What users hold in their hands trains two steps, calibrates and is audited with its questions, as it is."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from json_forms import speak
from typer.testing import CliRunner

from recipes.train import main
from safe_llava.audit import read_verdicts
from safe_llava.cli import app


@pytest.fixture(scope="module")
def checkpoint(tiny_safe_llava, tiny_processor, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_safe_llava.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


Source = tuple[Path, dict[str, Any], list[str | None]]
"""A file, what a recipe says of it, and the question of each row."""
ROLES = {"authors": ("USER", "ASSISTANT"), "mix665k": ("human", "gpt")}


def authors_sample(folder: Path) -> Source:
    turns = speak(ROLES["authors"], "conversations", ["<image>\nWho is this?", "I cannot say."])
    rows = [
        {"safe_type": str(n % 7), "safe_level": str(1 + n % 3 if n % 7 < 6 else 0), "image": f"{n}.png", **turns}
        for n in range(28)
    ]
    (folder / "sample.json").write_text(json.dumps(rows, indent=2))
    return folder / "sample.json", {}, ["Who is this?"] * 28


def mix665k(folder: Path) -> Source:
    pictured = speak(ROLES["mix665k"] * 2, "conversations", ["What?\n<image>", "A square.", "Which?", "Red."])
    text = speak(ROLES["mix665k"], "conversations", ["Hello", "Hello."])
    rows = [
        {"id": str(n), **({"image": f"{n}.png", **pictured} if n % 2 else {"model": "", **text})} for n in range(8)
    ]
    (folder / "mix.json").write_text(json.dumps([{"id": str(n), **row} for n, row in enumerate(rows)]))
    return folder / "mix.json", {"unlabelled": "clean"}, [None, "What?\nWhich?"] * 4


def table(folder: Path) -> Source:
    rows = [["image", "question", "answer", "safe_level", "safe_type"]]
    rows += [[f"{n}.png", "Who, then?", "No.", "high", "privacy"] for n in range(8)]
    rows += [[f"{n}.png", "What is it?", "A cat.", "none", "safe"] for n in range(8)]
    with (folder / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "rows.csv", {}, ["Who, then?"] * 8 + ["What is it?"] * 8


SOURCES = [authors_sample, mix665k, table]


@pytest.fixture
def write(make_image, tmp_path) -> Callable[[Callable[[Path], Source]], Source]:
    for number in range(28):
        make_image(number % 4).save(tmp_path / f"{number}.png")
    return lambda source: source(tmp_path)


@pytest.mark.parametrize("source", SOURCES)
def test_it_trains(source, write, checkpoint, tmp_path):
    path, fields, _ = write(source)
    recipe = {
        "model_name_or_path": str(checkpoint),
        "output_dir": str(tmp_path / "out"),
        "stage": 1,
        "dataset_name": str(path),
        "max_steps": 2,
        "max_length": None,
        "per_device_train_batch_size": 4,
        "gradient_checkpointing": False,
        "bf16": False,
        "use_cpu": True,
        "save_strategy": "no",
        "report_to": "none",
        "require_learned_head": False,
        **fields,
    }
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    main(["--config", str(tmp_path / "recipe.yaml")])
    assert json.loads((tmp_path / "out" / "trainer_state.json").read_text())["global_step"] == 2


def test_its_levels_and_types_calibrate(write, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr("safe_llava.calibration.run_calibration.write_report", lambda *_: None)
    for source, rows in ((authors_sample, 28), (table, 16)):
        path, _, _ = write(source)
        arguments = ["calibrate", checkpoint, path, "--output-dir", tmp_path / "out", "--no-update-model"]
        options = ["--min-examples", "2", "--device", "cpu"]
        result = CliRunner().invoke(app, [*map(str, arguments), *options])
        assert result.exit_code == 0, result.output
        assert json.loads((tmp_path / "out" / "calibration.json").read_text())["counts"]["rows"] == rows


def test_rows_without_labels_do_not_calibrate_and_say_so_once(write, checkpoint, tmp_path):
    path, _, _ = write(mix665k)
    result = CliRunner().invoke(app, ["calibrate", str(checkpoint), str(path), "--output-dir", str(tmp_path / "out")])
    assert result.exit_code == 1 and result.output.count("has no labels") == 1


@pytest.mark.parametrize("source", SOURCES)
def test_it_is_audited_with_its_questions(source, write, checkpoint, tmp_path):
    path, _, questions = write(source)
    arguments = ["audit", path, "--model", checkpoint, "--output-dir", tmp_path / "audit", "--device", "cpu"]
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    rows = read_verdicts(tmp_path / "audit").to_pylist()
    assert [row["text"] if row["status"] == "assessed" else None for row in rows] == questions
    assert {row["status"] for row in rows} == ({"assessed", "text only"} if None in questions else {"assessed"})
