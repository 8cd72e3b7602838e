"""Ticks of an audit's report as labelled rows: as many flagged and passed ones as a random sample would hold."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from safe_llava.audit.part_writer import PartSettings
from safe_llava.audit.plan import Plan
from safe_llava.audit.row_assessment import RowAssessor, say_distrust
from safe_llava.audit.sources import SourceSpec
from safe_llava.audit.verdict_table import LEVEL_COLUMNS, TYPE_COLUMNS, PartName, write_part
from safe_llava.calibration.audit_ticks import read_ticks
from safe_llava.files import write_json
from safe_llava.models.safety_labels import DISTRUST


NUM_FLAGGED, NUM_PASSED = 20, 380
POLICY = {"temperature": {"level": 2.0, "type": 0.5}}


@pytest.fixture(scope="module")
def model(tiny_safe_llava, tiny_processor, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tiny_safe_llava.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def assessor(model) -> RowAssessor:
    return RowAssessor(model, policy=POLICY)


@pytest.fixture
def logits() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(NUM_FLAGGED + NUM_PASSED, 11)) * 3


@pytest.fixture
def write_audit(assessor, logits, tmp_path) -> Callable[..., Path]:
    """`write_audit(chosen, **content)`: a folder of an audit with its verdict table, and an export of its report."""
    spec, settings = SourceSpec("images"), PartSettings(1000, 8)
    versions = (assessor.model_version, assessor.policy_version)
    plan = Plan(spec, "model", *versions, assessor.policy.to_dict(), settings, 1, None, {}, None, str(tmp_path), None)
    write_json(tmp_path / "plan.json", asdict(plan))

    def write(
        chosen: list[tuple[int, str, list[str]]], num_images: int = 1, notes: list[str] | None = None, **content
    ) -> Path:
        rows = []
        for number, scores in enumerate(logits):
            probs = [*softmax(scores[:4] / 2.0), *softmax(scores[4:] / 0.5)]
            rows.append(
                {"key": f"{number}", "status": "assessed", "num_images": num_images, "trusted": number != 19}
                | ({"notes": notes} if number == 19 else {})
                | dict(zip([*LEVEL_COLUMNS, *TYPE_COLUMNS], probs))
            )
        write_part(tmp_path / "verdicts", PartName(0, 0), rows, True, {}, plan.digest)
        export = {
            "format": "safe-llava audit ticks",
            "source": "images",
            "model": "model",
            "model_version": versions[0],
            "policy_version": versions[1],
            "sizes": {"flagged": NUM_FLAGGED, "passed": NUM_PASSED},
            "estimates": {"precision": {"skipped": 0}, "miss_rate": {"skipped": 2}},
            "ticks": [{"key": f"{key}", "tick": tick, "lists": lists} for key, tick, lists in chosen],
            **content,
        }
        path = tmp_path / "audit-ticks.json"
        path.write_text(json.dumps(export, indent=2))
        return path

    return write


def ticks_of(flagged: int, passed: int) -> list[tuple[int, str, list[str]]]:
    return [(number, "risky" if number % 2 else "harmless", ["riskiest", "flagged"]) for number in range(flagged)] + [
        (NUM_FLAGGED + number, "harmless", ["passed"]) for number in range(passed)
    ]


def test_labels_and_scores_are_those_of_the_tick_and_of_the_table(write_audit, model, logits):
    path = write_audit(ticks_of(NUM_FLAGGED, NUM_PASSED))
    arrays, left_out = read_ticks(path, model)
    kept = [number for number in range(NUM_FLAGGED + NUM_PASSED) if number != 19]
    assert arrays["safety_level"].tolist() == [-1 if number < 19 and number % 2 else 0 for number in kept]
    assert arrays["safety_type"].tolist() == [-1 if number < 19 and number % 2 else 6 for number in kept]
    for name, scores in (("level_logits", logits[kept, :4]), ("type_logits", logits[kept, 4:])):
        shift = arrays[name] - scores
        assert np.abs(shift - shift[:, :1]).max() < 1e-3
    assert left_out == {"only_riskiest": 0, "skipped": 2, "thinned": 0, "several_images": 0, "untrusted": 1}


@pytest.mark.parametrize("reason", [*DISTRUST])
def test_what_is_refused_as_unfamiliar_counts_and_what_is_not_trusted_does_not(reason, write_audit, model):
    notes = ["its first frame", say_distrust(reason)]
    arrays, left_out = read_ticks(write_audit(ticks_of(NUM_FLAGGED, NUM_PASSED), notes=notes), model)
    is_unfamiliar = reason == "unfamiliar"
    assert (arrays["unfamiliar"].sum(), left_out["untrusted"]) == (is_unfamiliar, not is_unfamiliar)
    assert len(arrays["safety_level"]) == NUM_FLAGGED + NUM_PASSED - (not is_unfamiliar)


def test_flagged_rows_weigh_no_more_than_among_all(write_audit, model):
    arrays, left_out = read_ticks(write_audit(ticks_of(18, 95)), model)
    num_risky = int((arrays["safety_level"] != 0).sum())
    assert 80 <= len(arrays["safety_level"]) <= 113
    assert num_risky <= 9
    assert left_out["thinned"] == 113 - len(arrays["safety_level"])


def test_ticks_among_the_riskiest_alone_are_left_out(write_audit, model):
    ticks = [(0, "risky", ["riskiest"]), *ticks_of(NUM_FLAGGED, NUM_PASSED)[1:]]
    assert read_ticks(write_audit(ticks), model)[1]["only_riskiest"] == 1


def test_rows_of_which_the_table_has_not_all_scores_are_left_out(write_audit, model):
    arrays, left_out = read_ticks(write_audit(ticks_of(NUM_FLAGGED, NUM_PASSED), num_images=2), model)
    assert (len(arrays["safety_level"]), left_out["several_images"]) == (0, NUM_FLAGGED + NUM_PASSED)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model_version": "another"}, "Calibrate the model that was audited"),
        ({"policy_version": "another"}, "under another policy"),
        ({"ticks": [{"key": "gone", "tick": "risky", "lists": ["flagged"]}]}, "'gone' is not in the verdict table"),
    ],
)
def test_ticks_of_another_audit_are_refused(write_audit, model, content, words):
    with pytest.raises(ValueError, match=words):
        read_ticks(write_audit([], **content), model)


def test_an_export_away_from_its_audit_is_refused(write_audit, model, tmp_path):
    path = write_audit([])
    (tmp_path / "plan.json").unlink()
    with pytest.raises(ValueError, match=r"must lie in the folder of the audit.*beside report.html"):
        read_ticks(path, model)
