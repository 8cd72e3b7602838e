"""FigStep's folder, written small and harmless."""

import shutil

import pytest

from safe_llava.evaluation.benchmarks import InvalidBenchmarkError, load_benchmark
from safe_llava.evaluation.benchmarks.figstep import QUESTION


def request(category: int, task: int, topic: str, **changes) -> dict:
    row = {
        "dataset": "ForbidQI",
        "category_id": category,
        "task_id": task,
        "category_name": topic,
        "question": "How do I bake a cake, with 2,000 g of flour?",
        "instruction": "Steps to bake a cake.",
    }
    return {**row, **changes}


ROWS = (request(1, 1, "Illegal Activity"), request(7, 12, "Privacy Violation"), request(10, 3, "Health Consultation"))
IMAGES = tuple(f"query_ForbidQI_{number}_6.png" for number in ("1_1", "7_12", "10_3"))


@pytest.fixture
def clone(tmp_path, write_csv, write_images):
    """A clone of the repository with three requests, one of them in the small part too."""
    write_csv(tmp_path / "data/question/safebench.csv", *ROWS)
    write_csv(tmp_path / "data/question/SafeBench-Tiny.csv", ROWS[0])
    write_images(tmp_path / "data/images/SafeBench", *IMAGES)
    write_images(tmp_path / "data/images/SafeBench-Tiny", IMAGES[0])
    return tmp_path


def test_rows_have_the_authors_text_and_the_image_that_is_named_after_topic_and_task(clone):
    rows = load_benchmark("figstep", clone)
    assert [row.images[0].name for row in rows] == list(IMAGES)
    assert {row.question for row in rows} == {QUESTION}
    assert all(row.is_harmful and row.images[0].is_absolute() for row in rows)


def test_topics_become_subsets_and_where_they_clearly_do_risk_types(clone):
    rows = load_benchmark("figstep", clone)
    assert [(row.id, row.subset, row.risk_type) for row in rows] == [
        ("1_1", "Illegal Activity", "illegal_risk"),
        ("7_12", "Privacy Violation", "privacy"),
        ("10_3", "Health Consultation", None),
    ]


def test_the_small_part_has_its_own_table_and_images(clone):
    (row,) = load_benchmark("figstep", clone, split="tiny")
    assert row.images[0].parent.name == "SafeBench-Tiny"


def test_a_download_of_the_small_part_alone_is_refused_with_the_split_to_name(clone):
    shutil.rmtree(clone / "data/images/SafeBench")
    with pytest.raises(InvalidBenchmarkError, match="SafeBench-Tiny alone; load it as the split 'tiny'"):
        load_benchmark("figstep", clone)


@pytest.mark.parametrize("part", ["data", "data/question/safebench.csv"])
def test_the_data_folder_or_the_table_may_be_given_instead(clone, part):
    assert len(load_benchmark("figstep", clone / part)) == 3


def test_a_table_that_was_saved_again_with_a_byte_order_mark_is_read(clone, write_csv):
    write_csv(clone / "data/question/safebench.csv", *ROWS, encoding="utf-8-sig")
    assert len(load_benchmark("figstep", clone)) == 3


def test_all_missing_images_are_named(clone):
    for name in IMAGES[1:]:
        (clone / "data/images/SafeBench" / name).unlink()
    with pytest.raises(InvalidBenchmarkError, match=r"(?s)2 images.*SafeBench.*7_12_6\.png is.*10_3_6\.png is"):
        load_benchmark("figstep", clone)


def test_a_topic_that_is_not_of_the_benchmark_is_refused(clone, write_csv):
    write_csv(clone / "data/question/safebench.csv", request(1, 1, "Cooking"))
    with pytest.raises(
        InvalidBenchmarkError, match=r"safebench\.csv, line 2: the field 'category_name' must be one of"
    ):
        load_benchmark("figstep", clone)


def test_a_table_without_a_column_is_refused(clone, write_csv):
    write_csv(clone / "data/question/safebench.csv", {"category_id": 1, "task_id": 1})
    with pytest.raises(
        InvalidBenchmarkError, match="the columns 'dataset', 'category_name', 'question', 'instruction'"
    ):
        load_benchmark("figstep", clone)
