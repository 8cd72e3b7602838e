"""A check counts what would be trained on, and shows samples of it on a page of its own."""

import json
import re

import pytest
from set_rows import encode, make_image, make_set

from safe_llava.data import check_dataset, image_checks, image_digests
from safe_llava.data.check_page import choose_samples, write_check_page
from safe_llava.data.dataset_check import check_sets
from safe_llava.data.dataset_mix import LoadedSet, mix_datasets


UNKNOWN = {"safe_level": None, "safe_type": None}


@pytest.fixture
def source(write_lines, record, image_folder):
    """Seven rows, of which two are broken."""
    for seed in range(3):
        make_image(seed).save(image_folder / f"{seed}.png")
    (image_folder / "cut.png").write_bytes(encode(make_image(4))[:-200])
    return write_lines(
        record(image="0.png"),
        record(image="0.png", answer="Another answer.", safe_level="high", safe_type="privacy"),
        record(image=["1.png", "2.png"], question="<image><image>\nBoth?", safe_level=["low", "medium"], safe_type=4),
        record(image=..., question="Hello?", **UNKNOWN),
        record(image="1.png", safe_level=3, safe_type=1),
        record(image="cut.png"),
        record(image="2.png", answer=""),
    )


@pytest.fixture
def check(source, image_folder):
    return check_dataset(source, image_folder=image_folder)


def test_rows_are_counted_by_level_and_type(check):
    assert check.labels == {
        ("none", "safe"): 1,
        ("high", "privacy"): 1,
        ("low or medium", "privacy"): 1,
        ("unknown", "unknown"): 1,
        ("high", "illegal risk"): 1,
    }
    assert check.count("safety_level") == {
        "none": 1, "low": 0, "medium": 0, "high": 2, "low or medium": 1, "unknown": 1
    }  # fmt: skip
    assert check.count_known("safety_level") == {"known": 3, "partly_known": 1, "unknown": 1}
    assert check.count_known("safety_type") == {"known": 4, "partly_known": 0, "unknown": 1}


def test_text_alone_and_several_images_are_counted(check):
    assert (check.num_rows, check.text_only, check.several_images) == (5, 1, 1)


def test_broken_rows_are_counted_and_each_fault_is_said_once(check):
    assert check.report.sets[0].bad == 2
    assert str(check).count("cannot be decoded") == str(check).count("turn 2 is empty") == 1
    assert "Broken: 2 rows" in check.problems[0] and "on_bad_rows: skip" in check.problems[0]


def test_copies_are_counted_kept_and_their_contradictions_said(check):
    assert (check.report.duplicates, check.report.sets[0].duplicates) == (
        {(str(check.report.sets[0].name),) * 2: 1},
        0,
    )
    assert len(check.report.contradictions) == 1
    assert "Contradicting" in check.problems[1]


def test_a_set_without_fault_has_no_problem(write_lines, record, image_folder):
    assert check_dataset(write_lines(record()), image_folder=image_folder).problems == []


def test_rows_of_a_benchmark_are_no_problem_and_left_out(source, image_folder):
    tests = {"vlguard": [([image_folder / "1.png"], "What is shown?")]}
    check = check_dataset(source, image_folder=image_folder, benchmarks=tests)
    assert (check.report.leaks[0].image_and_question, check.report.leaks[0].image_only) == (1, 1)
    assert check.num_rows == 3


def test_a_set_of_which_nothing_is_sound_is_counted_too(write_lines, record, image_folder):
    check = check_dataset(write_lines(record(image="gone.png"), record(safe_level=9)), image_folder=image_folder)
    assert (check.num_rows, check.report.sets[0].bad, len(check.problems)) == (0, 2, 1)
    assert "gone.png is missing" in str(check)


def test_each_image_is_decoded_once(source, image_folder, monkeypatch):
    read, decoded = image_digests.read_image, []

    def count(image):
        decoded.append(str(image))
        return read(image)

    for module in (image_checks, image_digests):
        monkeypatch.setattr(module, "read_image", count)
    check_dataset(source, image_folder=image_folder)
    assert {re.sub(".*/", "", name) for name in decoded} == {"0.png", "1.png", "2.png", "cut.png"}
    assert len(decoded) <= 6  # Two threads may begin on one file at a time.


def test_the_figures_are_json(check):
    figures = json.loads(json.dumps(check.to_dict()))
    assert figures["rows"] == 5
    assert figures["safety_level"]["classes"]["high"] == 2
    assert figures["sets"][0]["bad"] == 2


@pytest.mark.parametrize(
    ("form", "answer", "missing"),
    [("parts", "A blot .", 0), ("strings", " ", 2), ("pairs", "", 2), ("plain", "", 2), ("plain", "A blot .", 0)],
)
def test_rows_without_an_answer_are_counted(form, answer, missing):
    one = LoadedSet("a", make_set({"answer": answer}, {"answer": answer, "images": [3]}, form=form))
    assert check_sets({"a": lambda: one}, mix_datasets).without_answer == missing


def test_samples_show_as_many_labels_as_there_are():
    rows = [{"images": [], "question": f"{n} ?"} for n in range(30)]
    rows += [{"images": [], "level": 3, "type": kind} for kind in range(6)]
    chosen = choose_samples(make_set(*rows))
    assert len(set(chosen)) == 10
    assert {30, 31, 32, 33, 34, 35} < set(chosen)
    assert choose_samples(make_set(*rows), seed=1) != chosen


NASTY = "</p><script>alert(1)</script> {{ 7 * 7 }} \" ' &"


def test_the_page_holds_all_it_shows_and_no_word_of_the_data_is_markup(write_lines, record, image_folder, tmp_path):
    source = write_lines(
        record(question=f"<image>\n{NASTY}", answer=NASTY),
        record(image=f"{NASTY}.png"),
        record(image=..., question="Hi"),
    )
    write_check_page(tmp_path / "page.html", check_dataset(source, image_folder=image_folder), NASTY)
    page = (tmp_path / "page.html").read_text().replace(str(tmp_path), "")
    assert "<script" not in page
    assert "49" not in re.sub(r"base64,[^\"]*", "", page)
    assert page.count("&lt;script&gt;alert(1)") >= 4
    assert not re.findall(r"(?:src|href)=\"(?!data:)", page)
    assert page.count("data:image/jpeg;base64,") == 1
