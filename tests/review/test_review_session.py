"""A rater's way through the samples, without a browser."""

import dataclasses
import resource

import pytest

from safe_llava.review import ReviewSample, load_ratings
from safe_llava.review.review_session import ReviewSession


SAMPLES = [ReviewSample(str(number), "What?", {"a": "one", "b": "two"}, risk_type="privacy") for number in range(3)]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ratings.jsonl"


def rate(session: ReviewSession, place: int, first: int, second: int) -> None:
    form = session.form(session.samples[place])
    form.values, form.risk_type = {"a": first, "b": second}, "safe"
    session.save(session.samples[place])


def test_nothing_is_filled_in_at_first(path):
    session = ReviewSession(SAMPLES, "anna", path)
    assert session.missing(SAMPLES[0]) == ["answer 1", "answer 2", "the risk type"]
    with pytest.raises(ValueError, match="answer 1"):
        session.save(SAMPLES[0])
    assert not path.exists()


def test_a_rating_says_what_was_shown_and_where(path):
    rate(ReviewSession(SAMPLES, "anna", path), 0, 7, 3)
    (rating,) = load_ratings(path).ratings
    assert rating.scores == {"a": 7, "b": 3}
    assert rating.order == SAMPLES[0].order_for("anna")
    assert (rating.risk_type, rating.sample_risk_type) == ("safe", "privacy")
    assert rating.sample_digest == SAMPLES[0].digest


def test_a_later_session_goes_on_at_the_first_unrated_sample(path):
    rate(ReviewSession(SAMPLES, "anna", path), 0, 7, 3)
    session = ReviewSession(SAMPLES, "anna", path)
    assert (session.num_rated, session.first_unrated()) == (1, 1)
    assert session.form(SAMPLES[0]).values == {"a": 7, "b": 3}


def test_raters_who_share_a_file_do_not_see_each_others_ratings(path):
    rate(ReviewSession(SAMPLES, "anna", path), 0, 7, 3)
    session = ReviewSession(SAMPLES, "ben", path)
    assert session.num_rated == 0
    assert session.form(SAMPLES[0]).values == {}


def test_a_correction_is_a_later_line(path):
    session = ReviewSession(SAMPLES, "anna", path)
    rate(session, 0, 7, 3)
    rate(session, 0, 5, 3)
    loaded = load_ratings(path)
    assert [one.scores for one in loaded.ratings] == [{"a": 5, "b": 3}]
    assert loaded.num_superseded == 1


def test_saving_what_is_saved_already_writes_nothing(path):
    session = ReviewSession(SAMPLES, "anna", path)
    for _ in range(2):
        rate(session, 0, 7, 3)
    assert len(path.read_text().splitlines()) == 1


def test_a_correction_that_is_not_saved_is_known(path):
    session = ReviewSession(SAMPLES, "anna", path)
    rate(session, 0, 7, 3)
    session.form(SAMPLES[0]).values["a"] = 1
    session.form(SAMPLES[1]).values["a"] = 1
    assert session.unsaved_corrections() == [0]


def test_a_rating_that_did_not_fit_on_the_disk_stays_in_the_form_and_can_be_saved_later(path):
    session = ReviewSession(SAMPLES, "anna", path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40, limits[1]))
    try:
        with pytest.raises(OSError, match=r"only 40 of .* is the disk full"):
            rate(session, 0, 7, 3)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not session.is_rated(SAMPLES[0])
    session.save(SAMPLES[0])
    loaded = load_ratings(path)
    assert [one.scores for one in loaded.ratings] == [{"a": 7, "b": 3}]
    assert len(loaded.cut_off_lines) == 1


def test_samples_whose_texts_have_changed_are_refused(path):
    rate(ReviewSession(SAMPLES, "anna", path), 0, 7, 3)
    changed = dataclasses.replace(SAMPLES[0], outputs={"a": "one", "b": "other"})
    with pytest.raises(ValueError, match="sample '0' with another question or other outputs"):
        ReviewSession([changed], "ben", path)


def test_the_other_scale_is_refused(path):
    rate(ReviewSession(SAMPLES, "anna", path), 0, 7, 3)
    with pytest.raises(ValueError, match="--scale rating"):
        ReviewSession(SAMPLES, "anna", path, scale="preference")


def test_a_rater_needs_a_name(path):
    with pytest.raises(ValueError, match="name"):
        ReviewSession(SAMPLES, " ", path)


def test_a_missing_folder_is_named_before_anything_is_rated(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ReviewSession(SAMPLES, "anna", tmp_path / "nowhere" / "ratings.jsonl")
