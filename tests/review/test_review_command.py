"""`safe-llava review`: what `agreement` prints and writes, and how both commands fail. The page has its own file."""

import json
import socket
import sys

import pytest
from typer.testing import CliRunner, Result

from safe_llava.cli import app


def review(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["review", *map(str, arguments)], env={"COLUMNS": "140"})


@pytest.fixture
def ratings(write_lines):
    scores = {"anna": [(8, 2), (5, 4), (9, 1)], "ben": [(7, 3), (4, 6), (9, 2)]}
    return write_lines(
        "ratings.jsonl",
        *(
            {"rater": rater, "id": str(id), "scores": {"[b]alpha": first, "beta": second}, "risk_type": "privacy"}
            for rater, pairs in scores.items()
            for id, (first, second) in enumerate(pairs)
        ),
    )


def test_agreement_writes_all_figures_and_prints_those_that_matter(ratings, write_lines, tmp_path):
    judge = write_lines("judge.jsonl", {"rater": "judge", "id": "0", "scores": {"[b]alpha": 9, "beta": 1.5}})
    result = review("agreement", ratings, "--judge", judge, "--output-dir", tmp_path / "new")
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / "new" / "agreement.json").read_text())
    assert results["raters"] == {"anna": 3, "ben": 3}
    mean = results["overall"]["systems"]["[b]alpha"]["mean_score"]["value"]
    for words in ("[b]alpha", f"{mean:.2f}", "Krippendorff's", "Spearman's", "kappa needs whole numbers"):
        assert words in result.stdout
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["agreement.json"]


def test_agreement_tells_of_a_cut_off_line(ratings, tmp_path):
    ratings.write_text(ratings.read_text() + '{"rater": "an')
    result = review("agreement", ratings, "--output-dir", tmp_path)
    assert result.exit_code == 0
    assert "line 7" in result.stdout and "cut off" in result.stdout
    assert json.loads((tmp_path / "agreement.json").read_text())["cut_off_lines"][0]["text"] == '{"rater": "an'


class TestFailures:
    """What is wrong on standard error, no traceback, nothing written."""

    def fail(self, result: Result, *words: str) -> None:
        assert result.exit_code == 1
        assert isinstance(result.exception, SystemExit)
        assert all(word in result.stderr for word in words), result.stderr
        assert result.stdout == ""

    def test_a_bad_rating(self, write_lines, tmp_path):
        path = write_lines("ratings.jsonl", {"rater": "anna", "id": "1", "scores": {"a": 99}})
        self.fail(review("agreement", path, "--output-dir", tmp_path / "new"), "line 1", "'scores' of 'a'", "99")
        assert not (tmp_path / "new").exists()

    def test_a_bad_sample(self, write_lines, make_sample, tmp_path):
        path = write_lines("samples.jsonl", make_sample("1", question=""))
        result = review("rate", path, "--rater", "anna", "--output", tmp_path / "ratings.jsonl")
        self.fail(result, "line 1", "'question'")

    def test_a_port_that_is_taken(self, write_lines, make_sample, tmp_path):
        path = write_lines("samples.jsonl", make_sample("1"))
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            result = review("rate", path, "--rater", "anna", "--output", tmp_path / "ratings.jsonl", "--port", port)
        self.fail(result, str(port), "--port")

    @pytest.mark.parametrize("package", ["nicegui", "krippendorff"])
    def test_a_missing_extra_is_named(self, write_lines, make_sample, tmp_path, monkeypatch, package):
        monkeypatch.setitem(sys.modules, package, None)
        for name in [name for name in sys.modules if name.startswith("safe_llava.review")]:
            monkeypatch.delitem(sys.modules, name)
        path = write_lines("samples.jsonl", make_sample("1"))
        result = review("rate", path, "--rater", "anna", "--output", tmp_path / "ratings.jsonl")
        self.fail(result, package, "pip install 'safe-llava[review]'")
