"""MOSSBench's folder, written small."""

import pytest

from safe_llava.evaluation.benchmarks import InvalidBenchmarkError, load_benchmark


REASONS = ("Exaggerated Risk", "Negated Harm", "Counterintuitive Interpretation")


def question(pid: int, reason: str, **changes) -> dict:
    row = {
        "pid": pid,
        "question": f'Describe the "toy" in image {pid}, please.',
        "image_path": f"images/{pid}.png",
        "short description": "A room, with toys",
        "description": "",
        "meta_data_over": reason,
        "meta_data_human": 0,
        "meta_data_child": 1,
        "meta_data_syn": 1,
        "meta_data_ocr": 0,
        "meta_data_harm": 7,
    }
    return {**row, **changes}


ROWS = tuple(question(number, reason) for number, reason in enumerate(REASONS, start=1))


@pytest.fixture
def clone(tmp_path, write_csv, write_images):
    write_csv(tmp_path / "information.csv", *ROWS)
    write_images(tmp_path / "data/images", "1.png", "2.png", "3.png", "80 - Map.png", "1.webp")
    return tmp_path


def test_a_clone_has_its_images_in_data(clone):
    rows = load_benchmark("mossbench", clone)
    assert [(row.id, row.subset) for row in rows] == [("1", REASONS[0]), ("2", REASONS[1]), ("3", REASONS[2])]
    assert [row.images[0] for row in rows] == [clone / "data/images" / f"{n}.png" for n in (1, 2, 3)]
    assert rows[0].question == 'Describe the "toy" in image 1, please.'


def test_every_question_should_be_answered(clone):
    assert not any(row.is_harmful or row.risk_type for row in load_benchmark("mossbench", clone))


def test_images_may_lie_beside_the_table(tmp_path, write_csv, write_images):
    write_csv(tmp_path / "information.csv", *ROWS)
    write_images(tmp_path / "images", "1.png", "2.png", "3.png")
    assert len(load_benchmark("mossbench", tmp_path)) == 3


@pytest.mark.parametrize("prefix", ["images/", ""])
def test_images_may_be_in_the_archive_of_the_hub(tmp_path, write_csv, write_archive, encoded_image, prefix):
    write_csv(tmp_path / "information.csv", *ROWS)
    write_archive(tmp_path / "images.zip", *(f"{prefix}{n}.png" for n in (1, 2, 3)))
    assert load_benchmark("mossbench", tmp_path)[2].images == (encoded_image(),)


def test_images_of_older_copies_with_another_suffix_are_found(tmp_path, write_csv, write_images, caplog):
    write_csv(tmp_path / "information.csv", ROWS[0])
    write_images(tmp_path / "data/images", "1.webp")
    assert load_benchmark("mossbench", tmp_path)[0].images[0].name == "1.webp"
    assert "images/1.png -> 1.webp" in caplog.text


def test_reasons_of_older_copies_are_known_by_their_numbers(clone, write_csv):
    write_csv(clone / "information.csv", question(1, "type 3"))
    assert load_benchmark("mossbench", clone)[0].subset == REASONS[2]


def test_the_data_folder_alone_is_read_from_its_json(clone, write_json):
    entry = {"image": "images/2.png", "question": "What is it?", "pid": "2", "metadata": {"over": "type 2"}}
    write_json(clone / "data/images_information/information.json", {"2": entry})
    (row,) = load_benchmark("mossbench", clone / "data")
    assert (row.id, row.question, row.subset) == ("2", "What is it?", REASONS[1])
    assert row.images[0] == clone / "data/images/2.png"


def test_json_without_the_reason_is_refused(clone, write_json):
    write_json(clone / "data/images_information/information.json", {"2": {"image": "images/2.png", "metadata": {}}})
    with pytest.raises(
        InvalidBenchmarkError, match="entry '2': the field 'metadata' must be an object with the field"
    ):
        load_benchmark("mossbench", clone / "data")


def test_all_missing_images_are_named(clone):
    (clone / "data/images/2.png").unlink()
    (clone / "data/images/3.png").unlink()
    with pytest.raises(InvalidBenchmarkError, match=r"(?s)2 images.*images/2\.png is missing.*images/3\.png is"):
        load_benchmark("mossbench", clone)


def test_a_row_without_an_image_path_is_refused(clone, write_csv):
    write_csv(clone / "information.csv", ROWS[0], question(2, REASONS[0], image_path=" "))
    with pytest.raises(InvalidBenchmarkError, match=r"information\.csv, line 3: the field 'image_path' must be text"):
        load_benchmark("mossbench", clone)
