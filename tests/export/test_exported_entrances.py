"""Server, audit and calibration take an exported folder in place of a checkpoint, and need no torch for it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from datasets import Dataset, Features, Image, List, Value
from serving.request_bodies import acting
from typer.testing import CliRunner

from safe_llava.audit.verdict_table import read_verdicts
from safe_llava.cli import app
from safe_llava.cli.options import reported
from safe_llava.models.onnx_guard import OnnxGuard
from safe_llava.models.safety_labels import RISK_TYPES
from safe_llava.models.safety_policy import SafetyPolicy


HINTED = acting("hint", hints={name: dict.fromkeys(("low", "medium", "high"), "Take care.") for name in RISK_TYPES})
HINTED["actions"] = dict.fromkeys(("low", "medium", "high"), "hint")


@pytest.fixture(scope="module")
def images(make_image, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for seed, size in enumerate([(40, 30), (31, 97), (90, 20), (30, 30)]):
        make_image(seed, *size).save(folder / f"{seed}.png")
    (folder / "broken.jpg").write_text("no image")
    make_image(0).save(folder / "cut.jpg")
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:300])
    return folder


@pytest.fixture(scope="module")
def rows(make_image, tmp_path_factory) -> Path:
    """24 labelled rows, every third with two images."""
    rows = []
    for index in range(24):
        shown = [make_image(index + extra) for extra in range(1 + (index % 3 == 0))]
        turns = [{"role": "user", "content": f"Is number {index} a cat?"}, {"role": "assistant", "content": "Yes."}]
        level, risk_type = (0, 6) if index % 2 else (3, index // 2 % 5)
        rows.append({"messages": turns, "images": shown, "safety_level": level, "safety_type": risk_type})
    turn, labels = {"role": Value("string"), "content": Value("string")}, {"safety_level": Value("int64")}
    features = Features({"messages": List(turn), "images": List(Image()), **labels, "safety_type": Value("int64")})
    folder = tmp_path_factory.mktemp("rows")
    Dataset.from_list(rows, features=features).save_to_disk(folder)
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    (folder / "acting.json").write_text(json.dumps(HINTED))
    return folder


@pytest.fixture(scope="module")
def folder(exported, work) -> Path:
    """A copy of the exported folder, whose policy is calibrated here."""
    shutil.copyfile(exported.with_suffix(".onnx"), work / "my-guard.onnx")
    return Path(shutil.copytree(exported, work / "my-guard"))


@pytest.fixture(scope="module")
def done(folder, work, images, rows) -> dict[str, Any]:
    """What all commands did, one after the other in a process of their own."""
    script = Path(__file__).with_name("entrances_without_torch.py")
    command = [sys.executable, str(script), str(folder), str(work), str(images), str(rows)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.fixture
def no_reports(monkeypatch) -> None:
    """What the checkpoint finds is compared; how it is drawn is not."""
    monkeypatch.setattr("safe_llava.calibration.run_calibration.write_report", lambda *_: None)
    monkeypatch.setattr("safe_llava.audit.audit_results.write_report", lambda *_, **__: None)


def test_nothing_of_torch_or_transformers_is_imported(done):
    assert done["imported"] == []


def test_each_command_does_its_work(done):
    # 3: some rows of the audit could not be read.
    assert [said["exit_code"] for said in done["said"]] == [3, 0, 0, 0], done["said"]


def test_the_audit_finds_what_it_finds_with_the_checkpoint(done, work, images, checkpoint, tmp_path, no_reports):
    arguments = ["audit", str(images), "--model", str(checkpoint), "--output-dir", str(tmp_path), "--device", "cpu"]
    assert CliRunner().invoke(app, arguments).exit_code == 3
    ours, theirs = read_verdicts(work / "audit").to_pylist(), read_verdicts(tmp_path).to_pylist()
    assert len(ours) == len(theirs) == 6
    for own, other in zip(ours, theirs):
        # The model is another one by name; it is the same by what it finds.
        for name in own.keys() - {"model_version"}:
            is_number = isinstance(other[name], float)
            assert own[name] == (pytest.approx(other[name], abs=1e-4) if is_number else other[name]), name


def test_the_server_moderates_as_the_guard_decides(done, exported, images):
    image = next(images.glob("*.png"))
    [result] = done["alone"][0]["results"]
    found = OnnxGuard(exported, num_threads=1)({"image": image, "text": "Who?"})
    assert result["level"] == found["level"]
    assert result["level_scores"] == pytest.approx(found["level_probs"], abs=1e-5)


def test_text_alone_is_not_assessed_and_said_to_be_not(done):
    [result] = done["alone"][1]["results"]
    assert (result["assessed"], result["flagged"], result["category_scores"]) == (False, None, {})


def test_a_chat_is_answered_by_an_engine_that_gets_the_hint(done):
    reply = done["with_engine"][2]
    assert reply["choices"][0]["message"]["content"] == "A red circle."
    [message] = done["asked"][0]["messages"]
    assert message["content"][-1]["text"] == "Who? Take care."


def test_without_an_engine_a_chat_is_told_that_nobody_answers(done):
    assert done["alone"][2]["error"]["code"] == "not_answered_here"


def test_thresholds_are_fitted_as_with_the_checkpoint_and_kept_in_the_folder(
    done, work, folder, checkpoint, rows, tmp_path, no_reports
):
    arguments = ["calibrate", checkpoint, rows, "--output-dir", tmp_path, "--min-examples", 3, "--device", "cpu"]
    result = CliRunner().invoke(app, [*map(str, arguments), "--no-update-model"])
    assert result.exit_code == 0, result.output
    theirs = json.loads((tmp_path / "policy.json").read_text())
    assert OnnxGuard(folder).policy == SafetyPolicy.from_json_file(work / "calibrated" / "policy.json")
    for name, rule in OnnxGuard(folder).policy.types.items():
        assert rule["threshold"] == pytest.approx(theirs["types"][name]["threshold"], abs=1e-3)


def test_where_torch_is_missing_it_is_said_what_works_without(capsys):
    with pytest.raises(typer.Exit), reported():
        raise ModuleNotFoundError("No module named 'torch'", name="torch")
    assert "serve, audit and calibrate of an exported guard do without it" in capsys.readouterr().err
