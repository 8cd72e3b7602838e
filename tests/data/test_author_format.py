"""Reading the authors' JSON lines."""

import numpy as np
import pytest
from PIL import Image

from safe_llava.data import InvalidDatasetError, load_safety_dataset


def reasons_of(path, image_folder):
    with pytest.raises(InvalidDatasetError) as caught:
        load_safety_dataset(path, image_folder=image_folder)
    return caught.value.report.bad_rows


def test_a_line_becomes_messages_images_and_labels(image_folder, record, write_lines):
    path = write_lines(record(safe_level=3, safe_type=4))
    dataset, _ = load_safety_dataset(path, image_folder=image_folder)
    row = dataset[0]
    assert row["messages"] == [
        {"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "What is shown?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "A red square."}]},
    ]
    assert (row["safety_level"], row["safety_type"]) == (3, 4)
    assert np.asarray(row["images"][0])[0, 0].tolist() == [255, 0, 0]


def test_images_are_kept_as_paths_until_a_row_is_read(image_folder, record, write_lines):
    dataset, _ = load_safety_dataset(write_lines(record()), image_folder=image_folder)
    Image.new("RGB", (8, 8), "white").save(image_folder / "red.png")
    assert dataset[0]["images"][0].size == (8, 8)


def test_split_joins_a_pair_of_images_in_order(image_folder, record, write_lines):
    path = write_lines(record("<image>\n<image>\nWhich is red?", image="red.png<split>blue.png"))
    dataset, _ = load_safety_dataset(path, image_folder=image_folder)
    assert [np.asarray(image)[0, 0].tolist() for image in dataset[0]["images"]] == [[255, 0, 0], [0, 0, 255]]


def test_file_names_start_from_the_files_own_folder_by_default(image_folder, record, write_lines):
    dataset, _ = load_safety_dataset(write_lines(record(image="images/red.png")))
    assert len(dataset) == 1


def test_a_row_without_an_image_is_text_only(image_folder, record, write_lines):
    dataset, _ = load_safety_dataset(write_lines(record("Hello", image=...)), image_folder=image_folder)
    assert dataset[0]["images"] == []


def test_every_turn_of_a_long_conversation_is_kept(image_folder, record, write_lines):
    turns = [("human", "<image>\nWhat?"), ("gpt", "A square."), ("human", "Which colour?"), ("gpt", "Red.")]
    path = write_lines(record(conversations=[{"from": who, "value": text} for who, text in turns]))
    dataset, _ = load_safety_dataset(path, image_folder=image_folder)
    assert [message["role"] for message in dataset[0]["messages"]] == ["user", "assistant"] * 2


@pytest.mark.parametrize("level", [2, "2", "medium", " Medium "])
@pytest.mark.parametrize("risk_type", [2, "2", "insults_bullying", "Insults and bullying", "insults-bullying"])
def test_labels_may_be_indices_numerals_or_names(level, risk_type, image_folder, record, write_lines):
    dataset, _ = load_safety_dataset(
        write_lines(record(safe_level=level, safe_type=risk_type)), image_folder=image_folder
    )
    assert (dataset[0]["safety_level"], dataset[0]["safety_type"]) == (2, 2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"safe_level": 4}, "'safe_level': 4 is neither an index from 0 to 3"),
        ({"safe_level": -1}, "'safe_level': -1 is neither"),
        ({"safe_level": 1.5}, "'safe_level': 1.5 is neither"),
        ({"safe_level": True}, "'safe_level': True is neither"),
        ({"safe_level": []}, "'safe_level': an empty list leaves no class possible"),
        ({"safe_level": ["low", 4]}, "'safe_level': 4 is neither"),
        ({"safe_level": ["low", "high"], "safe_type": 6}, "level 'low or high' contradicts type 'safe'"),
        ({"safe_type": "risky"}, "level 'none' contradicts type 'politics or illegal_risk or"),
        ({"safe_level": ...}, "'safe_level' is missing"),
        ({"safe_type": 7}, "'safe_type': 7 is neither an index from 0 to 6"),
        ({"safe_type": "violence"}, "'safe_type': 'violence' is neither"),
        ({"safe_level": 0, "safe_type": 4}, "level 'none' contradicts type 'privacy'"),
        ({"safe_level": 2, "safe_type": 6}, "level 'medium' contradicts type 'safe'"),
        ({"image": "gone.png"}, "gone.png is missing"),
        ({"image": ["red.png", 3]}, "'image' must be a file name"),
        ({"image": {"file": "red.png"}}, "'image' must be a file name"),
        ({"image": ["red.png", ""]}, "image 2 of image field 'image' is empty"),
        ({"image": "red.png<split>"}, "image 2 of image field 'image' is empty"),
        ({"image": "red.png<split>blue.png"}, "1 image placeholders for 2 images"),
        ({"image": ...}, "1 image placeholders for 0 images"),
        ({"question": "What is shown?"}, "0 image placeholders for 1 images"),
        ({"answer": "See <image>"}, "puts an image into a turn of role 'assistant'"),
        ({"answer": " "}, "turn 2 is empty"),
        ({"question": "", "image": ...}, "turn 1 is empty"),
        ({"conversations": ...}, "'conversations' must be a list"),
        ({"conversations": []}, "the conversation has no turns"),
        ({"conversations": [{"from": "human"}]}, "'conversations' must be a list of"),
        ({"conversations": [{"from": "robot", "value": "<image>"}]}, "turn 1 has the unknown role 'robot'"),
        ({"conversations": [{"from": "human", "value": "<image>"}]}, "end with assistant"),
        ({"conversations": [{"from": "gpt", "value": "Hi"}], "image": ...}, "turns must alternate"),
        ({"answer": "\ud83d"}, "unpaired surrogate"),
    ],
)
def test_a_bad_row_is_refused_with_its_reason(changes, reason, image_folder, record, write_lines):
    (bad_row,) = reasons_of(write_lines(record(**changes)), image_folder)
    assert reason in str(bad_row)


def test_a_truncated_image_is_refused(image_folder, record, write_lines):
    image_file = image_folder / "green.jpg"
    image_file.write_bytes(image_file.read_bytes()[:-200])
    (bad_row,) = reasons_of(write_lines(record(image="green.jpg")), image_folder)
    assert "green.jpg cannot be decoded" in str(bad_row)


def test_a_file_that_is_no_image_is_refused(image_folder, record, write_lines):
    (image_folder / "notes.png").write_text("no image")
    (bad_row,) = reasons_of(write_lines(record(image="notes.png")), image_folder)
    assert "notes.png cannot be decoded" in str(bad_row)


@pytest.mark.parametrize("line", ['{"safe_level": 0,', "null", '"text"', "[]\n[]"])
def test_a_line_that_is_no_json_object_is_refused(line, image_folder, write_lines):
    assert reasons_of(write_lines(line), image_folder)[0].number == 1


def test_one_error_lists_every_bad_row_by_its_line_with_all_its_reasons(image_folder, record, write_lines):
    path = write_lines(record(), record(safe_level=9, answer=""), "", record(image="gone.png"))
    with pytest.raises(InvalidDatasetError) as caught:
        load_safety_dataset(path, image_folder=image_folder)
    assert "2 of 3 rows" in str(caught.value)
    assert [row.number for row in caught.value.report.bad_rows] == [2, 4]
    assert len(caught.value.report.bad_rows[0].reasons) == 2


def test_skip_keeps_the_good_rows_and_reports_the_bad_ones(image_folder, record, write_lines):
    path = write_lines(record(), record(image="gone.png"), record(answer="Red."))
    dataset, report = load_safety_dataset(path, image_folder=image_folder, on_error="skip")
    assert [row["messages"][1]["content"][0]["text"] for row in dataset] == ["A red square.", "Red."]
    assert (report.num_rows, [row.number for row in report.bad_rows]) == (3, [2])


def test_skip_refuses_a_file_without_one_good_row(image_folder, record, write_lines):
    with pytest.raises(InvalidDatasetError):
        load_safety_dataset(write_lines(record(safe_level=9)), image_folder=image_folder, on_error="skip")


def test_an_empty_file_is_refused(image_folder, write_lines):
    with pytest.raises(InvalidDatasetError, match="has no rows"):
        load_safety_dataset(write_lines(), image_folder=image_folder)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jsonl"):
        load_safety_dataset(tmp_path / "nowhere.jsonl")
