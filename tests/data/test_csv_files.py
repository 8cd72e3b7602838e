"""csv files hold what JSON does."""

import csv
import json

import pytest

from safe_llava.data import InvalidDatasetError, load_safety_dataset


@pytest.fixture
def write_csv(tmp_path):
    def write(*rows):
        with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8-sig") as file:
            csv.writer(file).writerows(rows)
        return tmp_path / "rows.csv"

    return write


@pytest.mark.parametrize("question", ["question", "prompt"])
@pytest.mark.parametrize("answer", ["answer", "response", "completion"])
def test_a_question_and_an_answer_are_a_row(question, answer, write_csv, image_folder):
    path = write_csv(
        ["image", question, answer, "safe_level", "safe_type"],
        ["red.png", 'Who,\n"she"?', "I cannot say.", "3", "privacy"],
        ["", "Hello", "Hello.", "0", "safe"],
    )
    dataset, _ = load_safety_dataset(path, image_folder=image_folder)
    assert [part["text"] for part in dataset[0]["messages"][0]["content"]] == [None, 'Who,\n"she"?']
    assert [len(images) for images in dataset["images"]] == [1, 0]
    assert (dataset["safety_level"][:], dataset["safety_type"][:]) == ([3, 0], [4, 6])


@pytest.mark.parametrize("field", ["conversations", "messages"])
def test_a_conversation_is_json(field, write_csv, image_folder):
    turns = [{"from": "USER", "value": "<image><image>Which?"}, {"from": "ASSISTANT", "value": "Red."}]
    path = write_csv(["images", field], ["red.png<split>blue.png", json.dumps(turns)])
    dataset, _ = load_safety_dataset(path, image_folder=image_folder, unlabelled="clean")
    assert len(dataset[0]["images"]) == 2 and dataset[0]["messages"][1]["role"] == "assistant"


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (["red.png", "Who?", "A.", "0"], "it has 4 cells for 5 columns"),
        (["red.png", "Who?", "", "0", "6"], "turn 2 is empty"),
        (["gone.png", "Who?", "A.", "0", "6"], "gone.png is missing"),
        (["red.png", "Who?", "A.", "9", "6"], "'safe_level': '9' is neither"),
    ],
)
def test_a_bad_row_is_named_by_its_line(cells, reason, write_csv, image_folder):
    path = write_csv(
        ["image", "question", "answer", "safe_level", "safe_type"], ["red.png", "Q", "A", "0", "6"], cells
    )
    with pytest.raises(InvalidDatasetError) as caught:
        load_safety_dataset(path, image_folder=image_folder)
    (bad_row,) = caught.value.report.bad_rows
    assert bad_row.number == 3 and reason in str(bad_row)


@pytest.mark.parametrize(
    "names", [["image"], ["question"], ["question", "prompt", "answer"], ["messages", "question", "answer"]], ids=str
)
def test_columns_of_which_the_conversation_cannot_be_told_are_refused(names, write_csv):
    with pytest.raises(ValueError, match="needs one column of conversations"):
        load_safety_dataset(write_csv(names, ["x"] * len(names)))


def test_two_columns_of_one_name_are_refused(write_csv):
    with pytest.raises(ValueError, match="two columns of one name"):
        load_safety_dataset(write_csv(["image", "image", "question", "answer"]))


@pytest.mark.parametrize("content", [b"", b"image,question,answer\n"])
def test_a_file_without_rows_says_so(content, tmp_path):
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(InvalidDatasetError, match="has no rows"):
        load_safety_dataset(tmp_path / "rows.csv")


@pytest.mark.parametrize("content", [b"\xff\xfe\xff", b'question,answer\n"open,x\n'])
def test_what_is_no_csv_is_refused(content, tmp_path):
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(ValueError, match=r"rows\.csv is no csv in UTF-8"):
        load_safety_dataset(tmp_path / "rows.csv")
