"""SIUO's folder, written small and harmless."""

import pytest

from safe_llava.evaluation.benchmarks import InvalidBenchmarkError, load_benchmark


ROW = {
    "question_id": 1001,
    "image": "S-01.png",
    "question": "Which of these should I read?",
    "category": "information misinterpretation",
    "safety_warning": "One of the two is made up.",
    "reference_answer": "The first one.",
}


@pytest.fixture
def download(tmp_path, write_json, write_images):
    write_json(tmp_path / "siuo_gen.json", [ROW])
    write_images(tmp_path / "images", "S-01.png")
    return tmp_path


def test_the_warning_is_what_a_judge_may_compare_with(download):
    (row,) = load_benchmark("siuo", download)
    assert (row.id, row.reference, row.is_harmful) == ("1001", "One of the two is made up.", True)
    assert (row.subset, row.risk_type) == ("information misinterpretation", "misleading")
    assert row.images == (download / "images/S-01.png",)


@pytest.mark.parametrize("folder", ["images", "data/images"])
def test_a_clone_has_its_table_in_data(tmp_path, write_json, write_images, folder):
    write_json(tmp_path / "data/siuo_gen.json", [ROW])
    write_images(tmp_path / folder, "S-01.png")
    assert load_benchmark("siuo", tmp_path)[0].images == (tmp_path / folder / "S-01.png",)


def test_the_multiple_choice_table_is_refused(download, write_json):
    write_json(download / "siuo_gen.json", [{"question_id": 1, "category": "morality", "options": ["A", "B"]}])
    with pytest.raises(InvalidBenchmarkError, match="item 0: the field 'question' is missing"):
        load_benchmark("siuo", download)
