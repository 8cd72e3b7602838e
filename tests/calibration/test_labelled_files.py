"""Every file of ours that people label is taken as labelled rows, or refused with what is missing."""

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import safe_llava
from safe_llava.calibration.labelled_files import TICKS_FORMAT, LabelledFile, labelled_file
from safe_llava.cli import app
from safe_llava.review import load_samples
from safe_llava.review.review_session import ReviewSession


HARMLESS, RISKY = {"safety_level": "none", "safety_type": "safe"}, {"safety_level": 3, "safety_type": "privacy"}
PAGE = Path(safe_llava.__file__).parent / "audit" / "audit_report.js"


@pytest.fixture(scope="module")
def model(tiny_safe_llava, tiny_processor, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("model")
    tiny_safe_llava.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture(autouse=True)
def no_report(monkeypatch) -> None:
    monkeypatch.setattr("safe_llava.calibration.run_calibration.write_report", lambda *_: None)


@pytest.fixture
def samples(make_image, tmp_path) -> Path:
    """Eight samples with an image each, and one without."""
    lines = []
    for number in range(9):
        make_image(number).save(tmp_path / f"{number}.png")
        sample = {"id": f"{number}", "question": "Who is this?", "outputs": {"base": "Ann.", "ours": "I cannot say."}}
        lines.append(sample | ({"image": f"{number}.png"} if number < 8 else {}))
    path = tmp_path / "samples.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def rate(samples, tmp_path) -> Callable[..., Path]:
    """`rate(chosen, ...)` saves what raters choose, by sample, as the page does."""

    def save(*raters: dict[int, str], scale: str = "rating") -> Path:
        path = tmp_path / "ratings.jsonl"
        for rater, chosen in enumerate(raters):
            session = ReviewSession(load_samples(samples), f"rater {rater}", path, scale)
            for number, risk_type in chosen.items():
                form = session.form(session.samples[number])
                form.values, form.risk_type = {"base": 1, "ours": 2}, risk_type
                session.save(session.samples[number])
        return path

    return save


@pytest.fixture
def ticks(tmp_path) -> dict[str, Path]:
    """What the report of an audit exports, away from the folder of that audit."""
    content = {"format": TICKS_FORMAT, "source": "images", "sizes": {}, "ticks": []}
    columns = json.loads(re.search(r"COLUMNS = (\[.*\])", PAGE.read_text())[1])
    paths = {kind: tmp_path / f"audit-ticks.{kind}" for kind in ("json", "csv")}
    paths["json"].write_text(json.dumps(content, indent=2))
    paths["csv"].write_text(",".join(columns) + "\r\n" + ",".join(f'"{name}"' for name in columns) + "\r\n")
    return paths


def calibrate(model: str, source: Path, *options: object) -> tuple[int, str]:
    output_dir = source.parent / "out"
    arguments = [model, source, "--output-dir", output_dir, "--no-update-model", "--min-examples", 2, *options]
    result = CliRunner().invoke(app, ["calibrate", *map(str, arguments)])
    if result.exit_code == 0:
        return 0, (output_dir / "calibration.json").read_text()
    return result.exit_code, " ".join(result.output.split())


def test_a_server_s_log_with_labels_is_taken(model, write_log):
    code, said = calibrate(model, write_log([HARMLESS, RISKY, {}] * 4))
    assert (code, json.loads(said)["counts"]["rows"]) == (0, 8)


@pytest.mark.parametrize("scale", ["rating", "preference"])
def test_ratings_are_taken_with_the_samples_that_were_rated(model, rate, samples, scale):
    ratings = rate(
        dict(enumerate(["safe", "safe", "privacy", "politics", "safe", "privacy"])), {8: "safe"}, scale=scale
    )
    code, said = calibrate(model, ratings, "--samples", samples)
    assert code == 0, said
    figures = json.loads(said)
    assert (figures["counts"]["rows"], figures["counts"]["harmless"]) == (6, 3)
    assert figures["counts"]["some_risk"] == {"level": 3, "type": 0}
    assert {reason: number for reason, number in figures["left_out"].items() if number} == {
        "unlabelled": 2,
        "without_image": 1,
    }


def test_where_raters_differ_each_choice_is_possible(model, rate, samples):
    ratings = rate(
        {0: "safe", 1: "privacy", 2: "privacy", 3: "safe"}, {0: "safe", 1: "privacy", 2: "politics", 3: "privacy"}
    )
    figures = json.loads(calibrate(model, ratings, "--samples", samples)[1])
    assert figures["counts"]["rows"] == 3
    assert figures["counts"]["some_risk"] == {"level": 2, "type": 1}
    assert figures["left_out"]["several_classes"] == 1


def test_a_rating_that_was_cut_off_is_counted(model, rate, samples):
    ratings = rate({0: "safe", 1: "privacy"})
    with ratings.open("a") as file:
        file.write('{"rater": "rater 0", "id"')
    figures = json.loads(calibrate(model, ratings, "--samples", samples)[1])
    assert figures["left_out"]["cut_off"] == 1


class TestRefusals:
    """One line that says what is missing."""

    def test_ratings_without_what_was_rated(self, model, rate):
        code, said = calibrate(model, rate({0: "safe"}))
        assert code == 1 and "give the samples that were rated by --samples" in said

    @pytest.mark.parametrize(("was", "now"), [('"id": "1"', '"id": "11"'), ("Who is this?", "What is this?")])
    def test_ratings_of_other_samples(self, model, rate, samples, was, now):
        ratings = rate({1: "safe"})
        samples.write_text(samples.read_text().replace(was, now))
        code, said = calibrate(model, ratings, "--samples", samples)
        assert code == 1 and "rating of sample '1'" in said

    def test_samples_for_what_was_not_rated(self, model, write_log, samples):
        code, said = calibrate(model, write_log([HARMLESS]), "--samples", samples)
        assert code == 1 and "--samples has no effect" in said

    def test_some_of_the_lines_of_a_log(self, model, write_log):
        code, said = calibrate(model, write_log([HARMLESS]), "--max-samples", 3)
        assert code == 1 and "max_samples" in said

    def test_a_label_map_for_ratings(self, model, rate, samples):
        code, said = calibrate(model, rate({0: "safe"}), "--samples", samples, "--label-map", samples)
        assert code == 1 and "label_map" in said

    def test_ticks_away_from_their_audit(self, model, ticks):
        code, said = calibrate(model, ticks["json"])
        assert code == 1 and "must lie in the folder of the audit" in said

    def test_ticks_as_csv(self, model, ticks):
        code, said = calibrate(model, ticks["csv"])
        assert code == 1 and "export the ticks from there as JSON" in said

    @pytest.mark.parametrize("kind", ["log", "ratings"])
    def test_a_file_in_which_nobody_has_put_a_label(self, model, kind, write_log, rate, samples):
        path, options = (write_log([{}]), []) if kind == "log" else (rate({8: "safe"}), ["--samples", samples])
        code, said = calibrate(model, path, *options)
        assert code == 1 and "no row with labels and an image" in said


FORMS: dict[str, Callable[[list[dict]], bytes]] = {
    "lines": lambda rows: b"".join(json.dumps(row).encode() + b"\n" for row in rows),
    "lines with fields in another order": lambda rows: FORMS["lines"]([dict(reversed(row.items())) for row in rows]),
    "an indented list": lambda rows: json.dumps(rows, indent=2).encode(),
    "a list in one line": lambda rows: json.dumps(rows, separators=(",", ":")).encode(),
    "lines in gz": lambda rows: gzip.compress(FORMS["lines"](rows)),
}
"""What tools leave that people label with."""


@pytest.mark.parametrize("form", FORMS)
def test_a_file_is_known_in_whatever_form_it_was_saved_again(form, write_log, rate, tmp_path):
    for kind, path in ((LabelledFile.LOG, write_log([HARMLESS])), (LabelledFile.RATINGS, rate({0: "safe"}))):
        again = tmp_path / "again.json"
        again.write_bytes(FORMS[form]([json.loads(line) for line in path.read_text().splitlines()]))
        assert labelled_file(str(again)) == kind


@pytest.mark.parametrize("indent", [None, 2])
def test_ticks_are_known_however_long_they_are(indent, tmp_path):
    content = {"source": "images", "format": TICKS_FORMAT, "ticks": [{"key": "0" * 100, "tick": "risky"}] * 20_000}
    (tmp_path / "ticks.json").write_text(json.dumps(content, indent=indent))
    assert labelled_file(str(tmp_path / "ticks.json")) == LabelledFile.TICKS


@pytest.mark.parametrize(
    "content",
    [
        '{"image": "a.png"}\n',
        f'{{"image": "a.png", "conversations": [{{"format": "{TICKS_FORMAT}"}}]}}',
        "",
        "key,image\n",
    ],
)
def test_other_files_are_none_of_them(content, tmp_path):
    (tmp_path / "rows.jsonl").write_text(content)
    assert labelled_file(str(tmp_path / "rows.jsonl")) is None
    assert labelled_file(str(tmp_path / "missing.jsonl")) is labelled_file("miniature") is None
