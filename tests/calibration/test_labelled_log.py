"""A server's audit log, once people have labelled some of its lines, gives the policy that its images would give."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from safe_llava.calibration.labelled_log import is_audit_log, read_labelled_log
from safe_llava.cli import app


HARMLESS, RISKY = {"safety_level": "none", "safety_type": "safe"}, {"safety_level": 3, "safety_type": "privacy"}


def test_labelled_lines_are_taken_with_their_logits_and_all_others_are_counted(write_log, tiny_safe_llava):
    path = write_log([HARMLESS, {}, RISKY])
    arrays, left_out = read_labelled_log(path, tiny_safe_llava.config.safety_training["digests"])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert arrays["safety_level"].tolist() == [0, 3]
    assert arrays["safety_type"].tolist() == [6, 4]
    assert np.array_equal(arrays["type_logits"], [lines[0]["type_logits"], lines[4]["type_logits"]])
    assert left_out == {"unlabelled": 1, "without_image": 0, "several_images": 0}


def test_calibrate_reads_the_log(write_log, tiny_safe_llava, tiny_processor, tmp_path):
    tiny_safe_llava.save_pretrained(tmp_path / "model")
    tiny_processor.save_pretrained(tmp_path / "model")
    path = write_log([HARMLESS, RISKY] * 30)
    assert is_audit_log(str(path))
    arguments = ["calibrate", tmp_path / "model", path, "--output-dir", tmp_path / "out", "--no-update-model"]
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / "out" / "calibration.json").read_text())["counts"]["rows"] == 60
    assert (tmp_path / "out" / "policy.json").is_file()
    refused = CliRunner().invoke(app, [*map(str, arguments), "--max-samples", "3"])
    assert (refused.exit_code, "max_samples" in refused.output) == (1, True)


def test_a_line_with_several_images_has_all_that_was_found_in_them(write_log, tiny_safe_llava):
    found = {"separate_level_logits": [[0.0] * 4, [1.0] * 4], "separate_type_logits": [[2.0] * 7, [3.0] * 7]}
    path = write_log([HARMLESS, {**HARMLESS, "images": ["a", "b"], **found}, {**RISKY, "images": ["a", "b"]}])
    arrays, left_out = read_labelled_log(path, tiny_safe_llava.config.safety_training["digests"])
    assert arrays["safety_level"].tolist() == [0, 0]
    assert arrays["separate"].rows.tolist() == [1, 1]
    assert arrays["separate"].type_logits.tolist() == found["separate_type_logits"]
    assert left_out["several_images"] == 1


@pytest.mark.parametrize(
    ("label", "fields", "message"),
    [
        (HARMLESS, {"weights": "0" * 64}, "line 1: its verdict is not this model's"),
        (HARMLESS, {"weights": None}, "line 1: its verdict is not this model's"),
        ({"safety_level": "huge", "safety_type": "safe"}, {}, "line 1: 'safety_level'"),
        ({"safety_level": 2, "safety_type": "safe"}, {}, "line 1: "),
    ],
)
def test_a_line_that_cannot_be_taken_is_named(write_log, tiny_safe_llava, label, fields, message):
    with pytest.raises(ValueError, match=message):
        read_labelled_log(write_log([label], **fields), tiny_safe_llava.config.safety_training["digests"])


def test_other_json_is_no_log(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"image": "a.png"}\n')
    assert not is_audit_log(str(tmp_path / "rows.jsonl"))
    assert not is_audit_log(str(tmp_path / "missing.jsonl"))
    assert not is_audit_log("miniature")
