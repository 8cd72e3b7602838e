"""What is said of bad rows: each kind of fault once, with a count and the first rows."""

import logging

import pytest

from safe_llava.data import InvalidDatasetError, load_safety_dataset


@pytest.fixture
def bad_rows(record, write_lines):
    """A file with a good row, and 30 rows of each of three kinds of fault."""
    records = [record()]
    for number in range(30):
        records += [record(image=f"gone-{number}.png"), record(safe_level=4 + number), record(answer="")]
    return write_lines(*records)


def require_once(message: str) -> None:
    lines = message.split("\n")
    assert "90 of 91 rows of" in lines[0]
    assert sum(line.startswith("  30 rows (") for line in lines) == 3
    assert "  30 rows (2, 5, 8, 11, 14, ...), the first: image " in message and "gone-0.png is missing" in message
    assert "  30 rows (3, 6, 9, 12, 15, ...), the first: 'safe_level': 4 is neither" in message
    assert "  30 rows (4, 7, 10, 13, 16, ...), the first: turn 2 is empty" in message
    assert len(lines) <= 5


def test_the_error_has_each_kind_of_fault_once_and_the_report_every_row(bad_rows, image_folder):
    with pytest.raises(InvalidDatasetError) as caught:
        load_safety_dataset(bad_rows, image_folder=image_folder)
    require_once(str(caught.value))
    assert len(caught.value.report.bad_rows) == 90


def test_the_log_has_each_kind_of_fault_once(bad_rows, image_folder, caplog):
    with caplog.at_level(logging.WARNING):
        load_safety_dataset(bad_rows, image_folder=image_folder, on_error="skip")
    (logged,) = [entry.getMessage() for entry in caplog.records if "bad" in entry.getMessage()]
    require_once(logged)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"safe_level": ...}, {"safe_type": ...}),
        ({"safe_level": 9}, {"safe_type": 9}),
        ({"image": "gone.png"}, {"image": "text.png"}),
        ({"answer": ""}, {"answer": "<image>"}),
        ({"question": "Hi"}, {"conversations": []}),
    ],
)
def test_faults_of_two_kinds_are_not_taken_for_one(first, second, record, write_lines, image_folder):
    (image_folder / "text.png").write_text("no image")
    with pytest.raises(InvalidDatasetError) as caught:
        load_safety_dataset(write_lines(record(), record(**first), record(**second)), image_folder=image_folder)
    assert "\n  row 2: " in str(caught.value) and "\n  row 3: " in str(caught.value)


def test_a_row_with_one_fault_twice_is_counted_once(record, write_lines, image_folder):
    turns = [
        {"from": who, "value": text} for who, text in (("human", "<image>"), ("gpt", ""), ("human", " "), ("gpt", ""))
    ]
    with pytest.raises(InvalidDatasetError) as caught:
        load_safety_dataset(write_lines(record(), record(conversations=turns)), image_folder=image_folder)
    assert "\n  row 2: turn 2 is empty\n" in str(caught.value)


def test_kinds_beyond_twenty_are_counted(record, write_lines, image_folder):
    rows = [record(conversations=[{"from": "human", "value": "<image>"}] * number) for number in range(2, 32)]
    with pytest.raises(InvalidDatasetError) as caught:
        load_safety_dataset(write_lines(*rows), image_folder=image_folder)
    assert "more kinds of fault" in str(caught.value)
    assert len(str(caught.value).split("\n")) == 23
