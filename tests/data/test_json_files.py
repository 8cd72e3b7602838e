"""JSON files: every form under every name gives the same rows, and every spelling of a conversation the same turns."""

import gzip
import json

import pytest
from json_forms import FORMS, NAMES, ROLES, UNKNOWN_ROLES, speak, write_form

from safe_llava.data import UNLABELLED, InvalidDatasetError, load_safety_dataset
from safe_llava.data.json_records import read_records


TURNS = [
    {"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "What is shown?"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "A red square."}]},
]


def problem_of(path, image_folder):
    with pytest.raises(InvalidDatasetError) as caught:
        load_safety_dataset(path, image_folder=image_folder)
    (bad_row,) = caught.value.report.bad_rows
    return str(bad_row)


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", FORMS)
def test_a_file_means_the_same_in_every_form_under_every_name(form, name, compressed, image_folder, record, tmp_path):
    records = [record(f"<image>\n{question}", safe_level=3, safe_type=4) for question in ("Who é?", "Why?", "{")]
    dataset, report = load_safety_dataset(
        write_form(tmp_path, form, records, name, compressed), image_folder=image_folder
    )
    questions = [row["messages"][0]["content"][1]["text"] for row in dataset]
    assert (questions, report.num_rows) == (["Who é?", "Why?", "{"], 3)


@pytest.mark.parametrize("form", FORMS)
def test_a_file_of_one_row_means_the_same_in_every_form(form, image_folder, record, tmp_path):
    dataset, _ = load_safety_dataset(write_form(tmp_path, form, [record()]), image_folder=image_folder)
    assert dataset[0]["messages"] == TURNS


def test_what_is_compressed_is_known_by_its_content(image_folder, record, tmp_path):
    (tmp_path / "rows.jsonl").write_bytes(gzip.compress(json.dumps(record()).encode()))
    assert len(load_safety_dataset(tmp_path / "rows.jsonl", image_folder=image_folder)[0]) == 1


@pytest.mark.parametrize("form", ["lines", "objects over several lines"])
def test_a_row_that_is_broken_spoils_no_other_and_is_named_by_its_line(form, image_folder, record, tmp_path):
    path = write_form(tmp_path, form, [record(), record(), record()])
    content = path.read_bytes()
    second = content.index(b"\n{") + 1
    path.write_bytes(content[:second] + b'{"half": ' + content[second:].lstrip(b"{"))
    dataset, report = load_safety_dataset(path, image_folder=image_folder, on_error="skip")
    (bad_row,) = report.bad_rows
    assert (len(dataset), bad_row.number) == (2, content[:second].count(b"\n") + 1)


def test_objects_in_one_line_are_all_read(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"row": 1} {"row": 2}\n{"row": 3}{"row": 4}\n')
    assert read_records(path) == {number: {"row": number} for number in range(1, 5)}


def test_a_list_that_is_cut_off_is_refused_whole(image_folder, record, tmp_path):
    (tmp_path / "rows.json").write_text(json.dumps([record(), record()], indent=2)[:-30])
    with pytest.raises(ValueError, match=r"rows\.json begins like a JSON list and is none"):
        load_safety_dataset(tmp_path / "rows.json", image_folder=image_folder, on_error="skip")


@pytest.mark.parametrize("text", ["", "\n\n", "[]", "[\n]"])
def test_a_file_without_rows_says_so(text, tmp_path):
    (tmp_path / "rows.json").write_text(text)
    with pytest.raises(InvalidDatasetError, match="has no rows"):
        load_safety_dataset(tmp_path / "rows.json")


def test_a_field_that_stands_there_twice_is_refused(image_folder, record, tmp_path):
    line = json.dumps(record())
    (tmp_path / "rows.jsonl").write_text(line[:-1] + ', "image": "blue.png"}')
    assert "names the field 'image' twice" in problem_of(tmp_path / "rows.jsonl", image_folder)


@pytest.mark.parametrize("style", ["conversations", "messages"])
@pytest.mark.parametrize("roles", ROLES, ids=str)
def test_roles_are_known_in_every_spelling(roles, style, image_folder, record, write_lines):
    turns = speak([*roles], style, ["<image>\nWhat is shown?", "A red square."])
    dataset, _ = load_safety_dataset(write_lines(record(**{"conversations": ..., **turns})), image_folder=image_folder)
    assert dataset[0]["messages"] == TURNS


@pytest.mark.parametrize("style", ["conversations", "messages"])
@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("role", UNKNOWN_ROLES, ids=repr)
def test_an_unknown_role_is_named_with_its_turn(role, place, style, image_folder, record, write_lines):
    speakers = ["human", "gpt"] * 2
    speakers[place] = role
    turns = speak(speakers, style, ["<image>\nWhat?", "A square.", "Which?", "Red."])
    problem = problem_of(write_lines(record(**{"conversations": ..., **turns})), image_folder)
    assert f"turn {place + 1} has the unknown role {role!r}" in problem


def test_two_roles_of_a_turn_must_agree(image_folder, record, write_lines):
    turns = [{"from": "gpt", "role": "user", "value": "<image>"}, {"from": "gpt", "value": "Red."}]
    problem = problem_of(write_lines(record(conversations=turns)), image_folder)
    assert "turn 1 has the unknown role: 'from' says 'gpt', and 'role' 'user'" in problem


def test_system_and_tool_turns_are_kept(image_folder, record, write_lines):
    speakers = ["System", "human", "gpt", "TOOL", "gpt"]
    turns = speak(speakers, "conversations", ["Be brief.", "<image>\nWhat?", "look(1)", "red", "A red square."])
    dataset, _ = load_safety_dataset(write_lines(record(**turns)), image_folder=image_folder)
    assert [turn["role"] for turn in dataset[0]["messages"]] == ["system", "user", "assistant", "tool", "assistant"]


@pytest.mark.parametrize("speakers", [["human", "tool", "gpt"], ["tool", "human", "gpt"], ["human", "gpt", "tool"]])
def test_a_tool_speaks_between_two_answers_only(speakers, image_folder, record, write_lines):
    turns = speak(speakers, "conversations", ["<image>\nA", "B", "C"])
    assert "turns must alternate" in problem_of(write_lines(record(image="red.png", **turns)), image_folder)


@pytest.mark.parametrize(
    "content",
    [
        "<image>\nWhat is shown?",
        [{"type": "image"}, {"type": "text", "text": "What is shown?"}],
        [{"type": "image", "text": None}, {"text": "What is shown?"}],
        ["<image>", "What is shown?"],
        "What is shown?",
    ],
    ids=repr,
)
def test_messages_hold_text_or_parts(content, image_folder, record, write_lines):
    messages = [{"role": "user", "content": content}, {"role": "assistant", "content": "A red square."}]
    dataset, _ = load_safety_dataset(
        write_lines(record(conversations=..., messages=messages)), image_folder=image_folder
    )
    assert dataset[0]["messages"] == TURNS


@pytest.mark.parametrize(
    "part",
    [{"type": "image", "path": "blue.png"}, {"type": "text", "text": "A", "image": "b.png"}, {"type": "audio"}, 3],
)
def test_a_part_that_would_be_passed_over_is_refused(part, image_folder, record, write_lines):
    messages = [{"role": "user", "content": [part, "<image>"]}, {"role": "assistant", "content": "A."}]
    problem = problem_of(write_lines(record(conversations=..., messages=messages)), image_folder)
    assert "'messages' must hold text" in problem


@pytest.mark.parametrize(
    "named",
    [
        *(
            {"image": value}
            for value in ("red.png<split>blue.png", " red.png <split> blue.png", ["red.png", "blue.png"])
        ),
        *(
            {"images": value}
            for value in ("red.png<split>blue.png", ["red.png", "blue.png"], ["red.png<split>blue.png"])
        ),
        {"image": "red.png", "images": ["blue.png"]},
        {"image": None, "images": ["red.png", "blue.png"]},
    ],
    ids=str,
)
def test_images_are_named_in_every_way(named, image_folder, record, write_lines):
    dataset, _ = load_safety_dataset(
        write_lines({**record("<image><image>A", image=...), **named}), image_folder=image_folder
    )
    assert [image.getpixel((0, 0)) for image in dataset[0]["images"]] == [(255, 0, 0), (0, 0, 255)]


@pytest.mark.parametrize(
    "named", [{}, *({field: v} for field in ("image", "images") for v in (None, "", [], " "))], ids=str
)
def test_a_row_without_an_image_is_text_only_in_every_way(named, image_folder, record, write_lines):
    dataset, _ = load_safety_dataset(write_lines({**record("Hello", image=...), **named}), image_folder=image_folder)
    assert dataset[0]["images"] == []


def test_labels_may_be_called_as_our_columns_are(image_folder, record, write_lines):
    row = record(safe_level=..., safe_type=..., safety_level="high", safety_type="privacy")
    dataset, _ = load_safety_dataset(write_lines(row), image_folder=image_folder)
    assert (dataset[0]["safety_level"], dataset[0]["safety_type"]) == (3, 4)


def test_a_label_under_two_names_is_refused(image_folder, record, write_lines):
    assert "'safe_level' and 'safety_level' say the same" in problem_of(
        write_lines(record(safety_level=3)), image_folder
    )


def test_a_conversation_in_two_fields_is_refused(image_folder, record, write_lines):
    turns = speak(["user", "assistant"], "messages", ["<image>\nWhy?", "A."])
    assert "'conversations' and 'messages' say the same" in problem_of(write_lines(record(**turns)), image_folder)


@pytest.fixture
def mix665k(tmp_path, image_folder):
    """Three rows as LLaVA-Instruct's list has them, one of them text only."""
    records = [
        {"id": "0", "image": "red.png", **speak(["human", "gpt"], "conversations", ["<image>\nWhat?", "A square."])},
        {
            "id": "1",
            "image": "blue.png",
            **speak(["human", "gpt"] * 2, "conversations", ["What?\n<image>", "A.", "B?", "C."]),
        },
        {"id": "2", "model": "", **speak(["human", "gpt"], "conversations", ["Hello", "Hello."])},
    ]
    return write_form(tmp_path, "indented list", records)


@pytest.mark.parametrize(("unlabelled", "labels"), [("clean", (0, 6)), ("ignore", (UNLABELLED, UNLABELLED))])
def test_rows_of_a_file_without_labels_are_what_the_caller_says(unlabelled, labels, mix665k, image_folder):
    dataset, _ = load_safety_dataset(mix665k, image_folder=image_folder, unlabelled=unlabelled)
    assert {(row["safety_level"], row["safety_type"]) for row in dataset} == {labels}
    assert [len(row["images"]) for row in dataset] == [1, 1, 0]


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_a_file_without_labels_is_refused_once_with_what_to_do(on_error, mix665k, image_folder):
    with pytest.raises(ValueError, match=r"no row has 'safe_level'.*unlabelled='clean'"):
        load_safety_dataset(mix665k, image_folder=image_folder, on_error=on_error)


@pytest.mark.parametrize("unlabelled", ["clean", "ignore"])
def test_a_file_with_one_label_is_labelled_and_its_other_rows_are_bad(unlabelled, image_folder, record, write_lines):
    path = write_lines(record(), *[record(safe_level=..., safe_type=...)] * 3)
    with pytest.raises(ValueError, match="`unlabelled` has no effect"):
        load_safety_dataset(path, image_folder=image_folder, unlabelled=unlabelled)
    _, report = load_safety_dataset(path, image_folder=image_folder, on_error="skip")
    assert [row.number for row in report.bad_rows] == [2, 3, 4]


def test_unlabelled_is_one_of_three(tmp_path):
    with pytest.raises(ValueError, match="`unlabelled` must be one of"):
        load_safety_dataset(tmp_path / "rows.json", unlabelled="safe")
