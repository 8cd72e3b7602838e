"""`safe-llava calibrate`: what it writes, what it leaves alone, and how it fails."""

import copy
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from datasets import Dataset, Features, Image, List, Value
from json_forms import speak, write_form
from transformers import AutoModel
from typer.testing import CliRunner, Result

from safe_llava import SafetyPolicy
from safe_llava.calibration.stored_policy import store_policy
from safe_llava.cli import app
from tests.data.sources.published_sets import write_psa


@pytest.fixture(scope="module")
def trained(tiny_safe_llava, tiny_processor, tmp_path_factory) -> Path:
    """A checkpoint whose policy is not the default one."""
    folder = tmp_path_factory.mktemp("trained")
    model = copy.deepcopy(tiny_safe_llava)
    model.set_safety_policy({"types": {"politics": {"enabled": False}}, "actions": {"high": "refuse"}}, tiny_processor)
    model.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoint(trained, tmp_path) -> Path:
    return Path(shutil.copytree(trained, tmp_path / "model"))


@pytest.fixture(scope="module")
def rows(make_image) -> list[dict]:
    """40 rows, half of them harmless; the type misleading has none. Of three more, one has no labels, one no image and
    one no level."""
    rows = []
    for index in range(43):
        turns = [
            {"role": "user", "content": f"Is number {index} a cat?"},
            {"role": "assistant", "content": "Yes, it is."},
        ]
        level, risk_type = (0, 6) if index % 2 else (1 + index % 3, index // 2 % 5)
        rows.append(
            {"messages": turns, "images": [make_image(index)], "safety_level": level, "safety_type": risk_type}
        )
    rows[40].update(safety_level=-100, safety_type=-100)
    rows[41].update(images=[])
    rows[42].update(safety_level=-100)
    return rows


@pytest.fixture(scope="module")
def dataset(rows, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    turn = {"role": Value("string"), "content": Value("string")}
    labels = {"safety_level": Value("int64"), "safety_type": Value("int64")}
    features = Features({"messages": List(turn), "images": List(Image()), **labels})
    Dataset.from_list(rows, features=features).save_to_disk(folder)
    return folder


def calibrate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)])


def run(model: Path, dataset: Path | str, output_dir: Path, *options: object) -> dict:
    result = calibrate(model, dataset, "--output-dir", output_dir, "--min-examples", 3, "--device", "cpu", *options)
    assert result.exit_code == 0, result.output
    return json.loads((output_dir / "calibration.json").read_text())


@pytest.fixture(scope="module")
def calibrated(trained, dataset, tmp_path_factory) -> Path:
    """A folder with a calibrated model under a name that holds markup, and what the command wrote beside it."""
    folder = tmp_path_factory.mktemp("calibrated")
    shutil.copytree(trained, folder / "<b>model")
    run(folder / "<b>model", dataset, folder)
    return folder


@pytest.fixture
def no_report(monkeypatch) -> None:
    """Leaves the page out, whose images take seconds to draw."""
    monkeypatch.setattr("safe_llava.calibration.run_calibration.write_report", lambda *_: None)


def test_the_policy_is_written_to_a_file_and_into_the_model_and_nothing_else_changes(trained, calibrated):
    model = calibrated / "<b>model"
    before, after = (json.loads((folder / "config.json").read_text()) for folder in (trained, model))
    policy = SafetyPolicy.from_json_file(calibrated / "policy.json")
    assert after["safety_policy"] == policy.to_dict()
    assert policy.to_dict() != before["safety_policy"]
    assert after | {"safety_policy": None} == before | {"safety_policy": None}
    assert {path.name for path in model.iterdir()} == {path.name for path in trained.iterdir()}
    assert AutoModel.from_pretrained(model).safety_policy == policy


def test_calibration_json_has_the_counts_and_where_they_come_from(calibrated, dataset):
    results = json.loads((calibrated / "calibration.json").read_text())
    assert results["model_updated"]
    assert results["counts"]["rows"] == 41
    assert results["counts"]["some_risk"] == {"level": 1, "type": 0}
    assert results["counts"]["harmless"] == 20
    assert results["left_out"] == {"unlabelled": 1, "several_classes": 0, "without_image": 1}
    assert (results["model"], results["dataset"]) == (str(calibrated / "<b>model"), str(dataset))
    assert {"safe-llava", "torch", "transformers"} <= results["versions"].keys()
    assert not results["types"]["politics"]["enabled"]
    assert not results["types"]["misleading"]["fitted"]


@pytest.mark.usefixtures("no_report")
def test_the_same_command_gives_the_same_figures(checkpoint, dataset, tmp_path):
    first, second = (run(checkpoint, dataset, tmp_path / name, "--no-update-model") for name in ("a", "b"))
    assert first == second


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("level_threshold", [False, True])
def test_the_policy_has_a_threshold_of_the_level_if_it_was_asked_for(level_threshold, checkpoint, dataset, tmp_path):
    run(checkpoint, dataset, tmp_path, "--no-update-model", *["--fit-level-threshold"] * level_threshold)
    policy = SafetyPolicy.from_json_file(tmp_path / "policy.json")
    assert (policy.level_threshold is not None) == level_threshold


def test_the_report_is_one_page_that_needs_nothing_else(calibrated):
    page = (calibrated / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(sources) > 15
    assert all(source.startswith("data:image/png;base64,") for source in sources)
    assert "<script" not in page and "url(" not in page
    assert "There are 0 rows of this type" in page
    assert "Of 1 rows some risk is known, and not its level" in page
    assert "Left out: 1 without labels" in page


def test_the_report_does_not_claim_thresholds_that_were_kept(checkpoint, dataset, tmp_path, monkeypatch):
    for name in ("confusion", "precision_recall", "reliability", "roc"):
        monkeypatch.setattr(f"safe_llava.calibration.calibration_report.draw_{name}", lambda *_: "")
    run(checkpoint, dataset, tmp_path / "out", "--min-examples", 30)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "No threshold was changed" in page
    assert "Thresholds were chosen" not in page


def test_a_name_that_holds_markup_is_shown_as_text(calibrated):
    page = (calibrated / "report.html").read_text()
    assert "<b>model" not in page and "&lt;b&gt;model" in page


@pytest.mark.usefixtures("no_report")
def test_the_model_is_left_alone_where_that_is_wanted_and_the_way_to_attach_the_policy_is_named(
    checkpoint, dataset, tmp_path
):
    before = (checkpoint / "config.json").read_bytes()
    result = calibrate(checkpoint, dataset, "--output-dir", tmp_path / "out", "--device", "cpu", "--no-update-model")
    assert (checkpoint / "config.json").read_bytes() == before
    assert "set_safety_policy" in result.stdout and "push_to_hub" in result.stdout


@pytest.mark.usefixtures("no_report")
@pytest.mark.parametrize("roles", [("human", "gpt"), ("USER", "ASSISTANT")], ids=str)
@pytest.mark.parametrize("form", ["lines", "indented list"])
def test_the_authors_rows_with_a_target_recall(form, roles, checkpoint, rows, tmp_path):
    records = []
    for index, row in enumerate(rows[:20]):
        row["images"][0].save(tmp_path / f"{index}.png")
        turns = speak([*roles], "conversations", ["<image>\n" + row["messages"][0]["content"], "Yes."])
        labels = {"safe_level": row["safety_level"], "safe_type": row["safety_type"]}
        records.append({**labels, "image": f"{index}.png", **turns})
    results = run(
        checkpoint, write_form(tmp_path, form, records), tmp_path / "out", "--target-recall", 0.8, "--max-samples", 16
    )
    assert results["target"]["name"] == "recall"
    assert results["counts"]["rows"] == 16


@pytest.mark.usefixtures("no_report")
def test_the_labelled_rows_of_a_public_set_are_taken_by_its_name(checkpoint, tmp_path):
    write_psa(tmp_path / "set")
    results = run(checkpoint, "psa", tmp_path / "out", "--root", tmp_path / "set", "--split", "train")
    assert (results["dataset"], results["counts"]["rows"], results["counts"]["harmless"]) == ("psa", 3, 1)


@pytest.mark.usefixtures("no_report")
def test_the_miniature_draws_synthetic_rows(checkpoint, tmp_path):
    results = run(checkpoint, "miniature", tmp_path / "out", "--max-samples", 12, "--batch-size", 5)
    assert "synthetic" in results["dataset"]
    assert results["counts"]["rows"] + results["left_out"]["without_image"] == 12


def test_ask_takes_the_policy_that_was_written(trained, calibrated, make_image, tmp_path):
    make_image(0).save(tmp_path / "image.png")
    arguments = ["ask", trained, "--image", tmp_path / "image.png", "--question", "Who?", "--device", "cpu"]
    options = ["--policy", calibrated / "policy.json", "--max-new-tokens", 2]
    assert CliRunner().invoke(app, [str(argument) for argument in [*arguments, *options]]).exit_code == 0


def test_a_write_that_fails_leaves_the_old_config_whole(checkpoint, monkeypatch):
    before = (checkpoint / "config.json").read_bytes()

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        store_policy(SafetyPolicy(), checkpoint / "config.json")
    assert (checkpoint / "config.json").read_bytes() == before


class TestFailures:
    """One line on standard error and no output; 2 where the command was mistyped, 1 where the input is bad."""

    def fail(self, result: Result, exit_code: int, *words: str) -> None:
        assert result.exit_code == exit_code, result.output
        assert isinstance(result.exception, SystemExit)
        message = re.sub(r"[\s│]+", " ", result.stderr)
        assert all(word in message for word in words), result.stderr

    def test_both_targets(self, checkpoint, dataset, tmp_path):
        targets = ("--target-recall", 0.9, "--target-over-refusal", 0.1)
        result = calibrate(checkpoint, dataset, "--output-dir", tmp_path / "out", *targets)
        self.fail(result, 2, "--target-over-refusal", "--target-recall", "not both")

    def test_no_output_dir(self, checkpoint, dataset):
        self.fail(calibrate(checkpoint, dataset), 2, "--output-dir")

    def test_a_target_out_of_range_is_refused_before_anything_is_loaded(self, tmp_path):
        result = calibrate("nowhere", "nowhere", "--output-dir", tmp_path / "out", "--target-recall", 95)
        self.fail(result, 1, "target recall", "95")

    def test_a_dataset_that_does_not_exist(self, checkpoint, tmp_path):
        result = calibrate(checkpoint, tmp_path / "rows.jsonl", "--output-dir", tmp_path / "out")
        self.fail(result, 1, "rows.jsonl")
        assert not (tmp_path / "out").exists()

    def test_a_split_that_does_not_exist(self, checkpoint, dataset, tmp_path):
        from datasets import DatasetDict, load_from_disk

        DatasetDict({"train": load_from_disk(dataset)}).save_to_disk(tmp_path / "splits")
        result = calibrate(checkpoint, tmp_path / "splits", "--output-dir", tmp_path / "out")
        self.fail(result, 1, "validation", "--split")

    def test_the_miniature_without_a_number(self, checkpoint, tmp_path):
        self.fail(calibrate(checkpoint, "miniature", "--output-dir", tmp_path / "out"), 1, "--max-samples")

    def test_a_model_that_was_never_trained(self, checkpoint, dataset, tmp_path):
        config = json.loads((checkpoint / "config.json").read_text()) | {"safety_training": None}
        (checkpoint / "config.json").write_text(json.dumps(config))
        self.fail(calibrate(checkpoint, dataset, "--output-dir", tmp_path / "out"), 1, "never trained", "stage 1")

    def test_a_model_without_a_policy(self, checkpoint, dataset, tmp_path):
        config = json.loads((checkpoint / "config.json").read_text()) | {"safety_policy": None}
        (checkpoint / "config.json").write_text(json.dumps(config))
        self.fail(calibrate(checkpoint, dataset, "--output-dir", tmp_path / "out"), 1, "set_safety_policy")

    def test_matplotlib_is_missed_before_the_model_is_loaded(self, dataset, tmp_path, monkeypatch):
        for name in ("calibration_plots", "calibration_report", "run_calibration"):
            monkeypatch.delitem(sys.modules, f"safe_llava.calibration.{name}", raising=False)
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        result = calibrate("nowhere", dataset, "--output-dir", tmp_path / "out")
        self.fail(result, 1, "matplotlib is missing", "pip install")
