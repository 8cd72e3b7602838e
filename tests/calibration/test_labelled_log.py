"""A server's audit log, once people have labelled some of its lines, gives the policy that its images would give."""

import json

import numpy as np
import pytest

from safe_llava.calibration.labelled_log import read_labelled_log


HARMLESS, RISKY = {"safety_level": "none", "safety_type": "safe"}, {"safety_level": 3, "safety_type": "privacy"}


def test_labelled_lines_are_taken_with_their_logits_and_all_others_are_counted(write_log, tiny_safe_llava):
    path = write_log([HARMLESS, {}, RISKY])
    arrays, left_out = read_labelled_log(path, tiny_safe_llava.config.safety_training["digests"])
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert arrays["safety_level"].tolist() == [0, 3]
    assert arrays["safety_type"].tolist() == [6, 4]
    assert np.array_equal(arrays["type_logits"], [lines[0]["type_logits"], lines[4]["type_logits"]])
    assert left_out == {"unlabelled": 1, "several_classes": 0, "without_image": 0, "several_images": 0}


@pytest.mark.parametrize(
    ("label", "level", "risk_type"),
    [
        ({"safe_level": 3, "safe_type": 4}, 3, 4),
        ({"safety_type": "safe"}, 0, 6),
        ({"safety_level": "low"}, 1, -1),
        ({"safety_type": ["privacy", "politics"]}, -1, -1),
        ({"safety_level": "risky", "safety_type": None}, -1, -1),
    ],
)
def test_labels_are_called_and_spelled_as_training_takes_them(write_log, tiny_safe_llava, label, level, risk_type):
    arrays, _ = read_labelled_log(write_log([label]), tiny_safe_llava.config.safety_training["digests"])
    assert (arrays["safety_level"].tolist(), arrays["safety_type"].tolist()) == ([level], [risk_type])


def test_a_line_that_may_be_harmless_or_not_is_counted_apart(write_log, tiny_safe_llava):
    path = write_log([HARMLESS, {"safety_level": ["none", "low"]}])
    assert read_labelled_log(path, tiny_safe_llava.config.safety_training["digests"])[1]["several_classes"] == 1


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
        ({"safe_level": 0, "safety_level": 0}, {}, "line 1: .* say the same"),
    ],
)
def test_a_line_that_cannot_be_taken_is_named(write_log, tiny_safe_llava, label, fields, message):
    with pytest.raises(ValueError, match=message):
        read_labelled_log(write_log([label], **fields), tiny_safe_llava.config.safety_training["digests"])
