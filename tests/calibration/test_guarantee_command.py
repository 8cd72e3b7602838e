"""`safe-llava calibrate --guarantee`: where the promise is written, and what it refuses."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from safe_llava import SafetyPolicy
from safe_llava.cli import app
from safe_llava.model_card import write_model_card


CALM = {"level_logits": [5.0, 0, 0, 0], "type_logits": [0.0] * 6 + [5]}
ALARMED = {"level_logits": [0.0, 0, 0, 5], "type_logits": [0.0] * 4 + [5, 0, 0]}
HARMLESS, RISKY = {"safety_level": "none", "safety_type": "safe"}, {"safety_level": "high", "safety_type": "privacy"}


@pytest.fixture(scope="module")
def model(tiny_safe_llava, tiny_processor, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_safe_llava.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


@pytest.fixture
def log(write_log) -> Path:
    """500 harmless lines, three of them flagged, 100 risky ones, and some without labels."""
    lines = [HARMLESS | CALM] * 497 + [HARMLESS | ALARMED] * 3 + [RISKY | ALARMED] * 100 + [CALM] * 7
    return write_log(lines)


@pytest.fixture(autouse=True)
def no_drawings(monkeypatch):
    for name in ("confusion", "precision_recall", "reliability", "roc"):
        monkeypatch.setattr(f"safe_llava.calibration.calibration_report.draw_{name}", lambda *_: "")


def calibrate(model: Path, source: Path, output_dir: Path, *options: object) -> Result:
    arguments = ["calibrate", model, source, "--output-dir", output_dir, *options]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_promise_stands_in_policy_model_card_figures_and_page(model, log, tmp_path):
    write_model_card(model, data="colours ## and shapes")
    before = (model / "README.md").read_text()
    options = ["--guarantee", "over_refusal<=0.03", "--guarantee", "miss_rate.privacy<=0.1", "--fit-share", "0"]
    result = calibrate(model, log, tmp_path / "out", *options, "--confidence", "0.9")
    assert result.exit_code == 0, result.output
    policy = SafetyPolicy.from_json_file(tmp_path / "out" / "policy.json")
    figures = json.loads((tmp_path / "out" / "calibration.json").read_text())
    stored = json.loads((model / "config.json").read_text())
    assert policy.guarantee == figures["guarantee"] == stored["safety_policy"]["guarantee"]
    assert policy.guarantee["promises"] == {
        "over_refusal<=0.03": {"rows": 500, "failures": 3},
        "miss_rate.privacy<=0.1": {"rows": 100, "failures": 0},
    }
    assert policy.guarantee["confidence"] == 0.9
    assert policy.guarantee["weights"] == stored["safety_training"]["digests"][0]
    assert re.fullmatch("[0-9a-f]{64}", policy.guarantee["rows"]["sha256"])
    assert policy.guarantee["rows"]["left_out"]["unlabelled"] == 7

    card = (model / "README.md").read_text()
    for place in (card, (tmp_path / "out" / "report.html").read_text().replace("&lt;", "<"), result.stdout):
        assert "over_refusal<=0.03" in place
        assert "3 of 500" in place
    assert policy.guarantee["rows"]["sha256"] in card
    assert "7 without labels" in result.stdout
    section = re.compile(r"(?s)## Safety policy\n.*?(?=\n## )")
    assert section.sub("", card) == section.sub("", before)

    # Other thresholds have no promise, and neither has the card of them.
    again = calibrate(model, log, tmp_path / "again", "--target-recall", "0.5", "--min-examples", "10")
    assert again.exit_code == 0, again.output
    assert "guarantee" not in json.loads((model / "config.json").read_text())["safety_policy"]
    assert "What is promised" not in (model / "README.md").read_text()


def test_a_promise_that_the_rows_do_not_settle_writes_nothing(model, log, tmp_path):
    before = (model / "config.json").read_bytes()
    result = calibrate(model, log, tmp_path / "out", "--guarantee", "over_refusal<=0.0001")
    assert result.exit_code == 1
    assert "is not reachable with" in result.stderr
    assert (model / "config.json").read_bytes() == before
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--confidence", 0.9], "--confidence has no effect without --guarantee"),
        (["--fit-share", 0.5], "--fit-share has no effect without --guarantee"),
        (["--guarantee", "over_refusal<=0.1", "--target-over-refusal", 0.1], "not both"),
        (["--guarantee", "over_refusal<=0.1", "--target-recall", 0.9], "not both"),
        (["--guarantee", "over_refusal<=0.1", "--fit-share", 0, "--min-examples", 5], "--min-examples has no effect"),
        (["--guarantee", "over_refusal<=10%"], "share between 0 and 1"),
        (["--guarantee", "over_refusal<=0.1", "--confidence", 95], "confidence must be between 0 and 1"),
        (["--guarantee", "over_refusal<=0.1", "--fit-share", 1], "must be in"),
    ],
)
def test_options_that_contradict_each_other_or_do_nothing_are_refused_before_anything_is_read(
    options, words, tmp_path
):
    result = calibrate(tmp_path / "no model", tmp_path / "no rows", tmp_path / "out", *options)
    assert result.exit_code == 1
    assert words in result.stderr
