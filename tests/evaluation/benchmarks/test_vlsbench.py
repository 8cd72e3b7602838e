"""VLSBench's folder, written small and harmless."""

import pytest

from safe_llava.evaluation.benchmarks import InvalidBenchmarkError, load_benchmark


def question(number: int, category: str) -> dict:
    row = {"instruction_id": number, "instruction": "What is best here?", "image_path": f"imgs/{number}.png"}
    return {**row, "category": category, "sub_category": "-", "source": "generation"}


@pytest.fixture
def download(tmp_path, write_json, write_archive):
    write_json(tmp_path / "data.json", [question(0, "Privacy"), question(1, "Violent")])
    write_archive(tmp_path / "imgs.tar", "imgs/0.png", "imgs/1.png")
    return tmp_path


def test_images_are_read_out_of_the_published_archive(download, encoded_image):
    rows = load_benchmark("vlsbench", download)
    assert [(row.id, row.subset, row.risk_type) for row in rows] == [
        ("0", "Privacy", "privacy"),
        ("1", "Violent", None),
    ]
    assert all(row.is_harmful and row.images == (encoded_image(),) for row in rows)


def test_images_that_were_unpacked_are_read_when_needed(download, write_images):
    write_images(download / "imgs", "0.png", "1.png")
    assert load_benchmark("vlsbench", download)[0].images == (download / "imgs/0.png",)


def test_a_row_without_its_instruction_is_refused(download, write_json):
    write_json(download / "data.json", [{"instruction_id": 0, "category": "Privacy", "question": "?"}])
    with pytest.raises(InvalidBenchmarkError, match=r"data\.json, item 0: the field 'instruction' is missing; it has"):
        load_benchmark("vlsbench", download)
