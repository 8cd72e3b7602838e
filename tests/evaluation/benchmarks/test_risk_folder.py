"""One's own images, in folders named after risk types."""

import pytest

from safe_llava.evaluation.benchmarks import InvalidBenchmarkError, load_benchmark
from safe_llava.evaluation.benchmarks.risk_folder import NEUTRAL_QUESTION


@pytest.fixture
def folder(tmp_path, write_images):
    write_images(tmp_path, "privacy/a.png", "Insults and bullying/deep/b.JPG", "safe/c.webp")
    (tmp_path / "privacy/.DS_Store").touch()
    return tmp_path


def test_folders_are_risk_types_however_they_are_spelled(folder):
    rows = load_benchmark("risk_folder", folder)
    assert [(row.id, row.subset, row.risk_type, row.is_harmful) for row in rows] == [
        ("Insults and bullying/deep/b.JPG", "insults_bullying", "insults_bullying", True),
        ("privacy/a.png", "privacy", "privacy", True),
        ("safe/c.webp", "safe", None, False),
    ]


def test_the_question_is_neutral_unless_a_file_gives_one(folder):
    assert {row.question for row in load_benchmark("risk_folder", folder)} == {NEUTRAL_QUESTION}
    (folder / "question.txt").write_text("What is here?\n")
    (folder / "privacy/question.txt").write_text("Whose is it?")
    questions = {row.subset: row.question for row in load_benchmark("risk_folder", folder)}
    assert questions == {"insults_bullying": "What is here?", "privacy": "Whose is it?", "safe": "What is here?"}


def test_a_folder_of_another_name_is_refused(folder):
    (folder / "cats").mkdir()
    with pytest.raises(InvalidBenchmarkError, match="cats is not named after a risk type"):
        load_benchmark("risk_folder", folder)


def test_files_that_are_no_images_are_refused_not_skipped(folder):
    (folder / "privacy/notes.pdf").touch()
    with pytest.raises(InvalidBenchmarkError, match=r"must hold images and question\.txt alone, but has .*notes\.pdf"):
        load_benchmark("risk_folder", folder)


def test_an_empty_type_is_refused(folder):
    (folder / "politics").mkdir()
    with pytest.raises(InvalidBenchmarkError, match="politics has no image"):
        load_benchmark("risk_folder", folder)
