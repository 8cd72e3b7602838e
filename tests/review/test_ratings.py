"""The file of ratings: nothing that was saved is lost, and nothing bad is taken for a rating."""

import json
import multiprocessing
import re

import pytest

from safe_llava.review import Rating, append_rating, load_ratings


def rating(rater: str = "anna", id: str = "1", score: float = 7, **fields) -> Rating:
    return Rating(rater, id, scores={"a": score, "b": 3}, **fields)


def test_a_rating_comes_back_as_it_was_saved(tmp_path):
    saved = Rating(
        "anna",
        "1",
        places={"a": 1, "b": 2},
        order=("b", "a"),
        risk_type="safe",
        sample_risk_type="privacy",
        comment="Äpfel\nand \u2028 more",
        sample_digest="0123456789abcdef",
        time="2026-01-01T00:00:00+00:00",
    )
    append_rating(tmp_path / "ratings.jsonl", saved)
    assert load_ratings(tmp_path / "ratings.jsonl").ratings == [saved]


def test_a_later_rating_supersedes_an_earlier_one_which_stays_in_the_file(tmp_path):
    for score in (7, 8):
        append_rating(tmp_path / "ratings.jsonl", rating(score=score))
    loaded = load_ratings(tmp_path / "ratings.jsonl")
    assert [one.scores["a"] for one in loaded.ratings] == [8]
    assert loaded.num_superseded == 1
    assert len((tmp_path / "ratings.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize("kept", [1, 20, 45, -2])
def test_a_cut_off_last_line_is_reported_and_all_others_count(tmp_path, kept):
    path = tmp_path / "ratings.jsonl"
    append_rating(path, rating(id="1"))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:kept])
    loaded = load_ratings(path)
    assert [one.id for one in loaded.ratings] == ["1"]
    assert [(line.line, line.text) for line in loaded.cut_off_lines] == [(2, whole[:kept].decode())]


def test_a_cut_off_line_stays_and_spoils_no_later_rating(tmp_path):
    path = tmp_path / "ratings.jsonl"
    path.write_text('{"rater": "anna", "id": "0", "sco')
    for id in "12":
        append_rating(path, rating(id=id))
    loaded = load_ratings(path)
    assert [one.id for one in loaded.ratings] == ["1", "2"]
    assert [line.line for line in loaded.cut_off_lines] == [1]
    assert path.read_text().startswith('{"rater": "anna", "id": "0", "sco\n')


def test_a_last_line_that_lacks_only_its_line_break_counts(tmp_path):
    path = tmp_path / "ratings.jsonl"
    append_rating(path, rating(id="1"))
    path.write_bytes(path.read_bytes().rstrip(b"\n"))
    append_rating(path, rating(id="2"))
    assert [one.id for one in load_ratings(path).ratings] == ["1", "2"]


def test_a_bad_line_that_no_run_left_unfinished_is_refused(tmp_path):
    path = tmp_path / "ratings.jsonl"
    append_rating(path, rating(id="1"))
    path.write_text(path.read_text() + "{'rater': 'judge'}\n")
    append_rating(path, rating(id="2"))
    with pytest.raises(ValueError, match="line 2: not valid JSON"):
        load_ratings(path)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"rater": ""}, "'rater'"),
        ({"id": 1}, "'id'"),
        ({"scores": {"a": 11}}, "'scores' of 'a' must be from 0 to 10, not 11"),
        ({"scores": {"a": True}}, "'scores' of 'a'"),
        ({"scores": {"a": float("nan")}}, "'scores' of 'a'"),
        ({"scores": {}}, "'scores'"),
        ({"places": {"a": 1}}, "not both"),
        ({"scores": None}, "'scores' or 'places'"),
        ({"scores": None, "places": {"a": 0}}, "'places' of 'a'"),
        ({"order": ["a", "a"]}, "'order'"),
        ({"comment": 5}, "'comment'"),
        ({"risk_type": "fire"}, "'risk_type'"),
        ({"score": 5}, "'score' is no field"),
    ],
)
def test_a_bad_field_is_named_with_its_line(write_lines, fields, problem):
    path = write_lines("judge.jsonl", {"rater": "judge", "id": "1", "scores": {"a": 1.5}, **fields})
    with pytest.raises(ValueError, match=rf"line 1: .*{re.escape(problem)}"):
        load_ratings(path)


def test_the_same_sample_and_rater_in_two_files_is_refused(tmp_path):
    for name in ("a.jsonl", "b.jsonl"):
        append_rating(tmp_path / name, rating())
    with pytest.raises(ValueError, match=r"anna rated sample '1' in .*a\.jsonl and again in .*b\.jsonl"):
        load_ratings(tmp_path / "a.jsonl", tmp_path / "b.jsonl")


def append_many(path: str, rater: str) -> None:
    for number in range(40):
        append_rating(path, rating(rater, str(number), comment=rater * 5000))


def test_processes_that_share_a_file_tear_no_line(tmp_path):
    path = tmp_path / "ratings.jsonl"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=append_many, args=(str(path), rater)) for rater in "abcd"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted((one.rater, int(one.id)) for one in load_ratings(path).ratings) == [
        (rater, number) for rater in "abcd" for number in range(40)
    ]
    assert all(json.loads(line) for line in path.read_text().splitlines())
