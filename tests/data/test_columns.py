"""Datasets that already have our columns."""

import pytest
from datasets import Dataset, DatasetDict, Features, Image, List, Value
from json_forms import ROLES
from PIL import Image as PILImage

from safe_llava.data import UNLABELLED, InvalidDatasetError, load_safety_dataset


@pytest.fixture
def row():
    return {
        "messages": [
            {"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "What?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "A square."}]},
        ],
        "images": [PILImage.new("RGB", (16, 16), "red")],
        "safety_level": 0,
        "safety_type": 6,
    }


@pytest.fixture
def save(tmp_path):
    def save_rows(*rows, **features):
        folder = tmp_path / "data"
        folder.mkdir()
        dataset = Dataset.from_list(list(rows))
        dataset = dataset.cast(Features({**dataset.features, "images": List(Image()), **features}))
        dataset.to_parquet(folder / "train.parquet")
        return folder

    return save_rows


def test_a_folder_of_parquet_passes_through(row, save):
    dataset, report = load_safety_dataset(save(row))
    assert dataset[0]["messages"] == row["messages"]
    assert dataset[0]["images"][0].size == (16, 16)
    assert report.bad_rows == ()


def test_a_parquet_file_passes_through(row, save):
    dataset, _ = load_safety_dataset(save(row) / "train.parquet")
    assert len(dataset) == 1


def test_a_folder_from_save_to_disk_passes_through(row, tmp_path):
    Dataset.from_list([row]).save_to_disk(tmp_path / "saved")
    dataset, _ = load_safety_dataset(tmp_path / "saved")
    assert dataset[0]["images"][0].size == (16, 16)


def test_a_row_for_the_head_alone_ends_with_its_question(row, save):
    row |= {"messages": row["messages"][:1], "head_only": True}
    dataset, _ = load_safety_dataset(save(row))
    assert (dataset[0]["messages"], dataset[0]["head_only"]) == (row["messages"], True)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"head_only": False}, "end with assistant"),
        ({"safety_level": UNLABELLED, "safety_type": UNLABELLED}, "nothing to learn"),
    ],
)
def test_a_row_without_an_answer_must_say_so_and_have_a_label(changes, reason, row, save):
    with pytest.raises(InvalidDatasetError, match=reason):
        load_safety_dataset(save({**row, "messages": row["messages"][:1], "head_only": True, **changes}))


def test_plain_string_messages_pass_through(row, save):
    row["messages"] = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "A square."}]
    dataset, _ = load_safety_dataset(save(row))
    assert dataset[0]["messages"] == row["messages"]


@pytest.mark.parametrize("roles", ROLES, ids=str)
@pytest.mark.parametrize("column", ["messages", "prompt and completion"])
def test_roles_are_known_in_every_spelling(roles, column, row, save):
    turns = [{**turn, "role": role} for turn, role in zip(row["messages"], roles)]
    if column == "messages":
        dataset, _ = load_safety_dataset(save(row, {**row, "messages": turns}))
        assert dataset[1]["messages"] == row["messages"]
    else:
        question, answer = row.pop("messages")
        dataset, _ = load_safety_dataset(save({**row, "prompt": turns[:1], "completion": turns[1:]}))
        assert (dataset[0]["prompt"], dataset[0]["completion"]) == ([question], [answer])
    assert dataset[0]["images"][0].size == (16, 16)


@pytest.fixture
def llava_table(row, tmp_path):
    """A parquet file in LLaVA's form, as many on the Hub are: a row with an image and one of text alone."""

    def save_table(roles=("human", "gpt"), **columns):
        turns = [{"from": role, "value": text} for role, text in zip(roles, ("<image>\nWhat?", "A square."))]
        texts = [{"from": role, "value": text} for role, text in zip(roles, ("Hello", "Hello."))]
        records = {"id": ["a", "b"], "image": [row["images"][0], None], "conversations": [turns, texts], **columns}
        Dataset.from_dict(records).cast_column("image", Image()).to_parquet(tmp_path / "llava.parquet")
        return tmp_path / "llava.parquet"

    return save_table


@pytest.mark.parametrize("roles", ROLES, ids=str)
def test_a_table_in_llavas_form_gets_our_columns(roles, row, llava_table):
    dataset, _ = load_safety_dataset(llava_table(roles, safe_level=[3, 0], safe_type=["privacy", "safe"]))
    assert dataset[0]["messages"] == row["messages"]
    assert (dataset["safety_level"][:], dataset["safety_type"][:]) == ([3, 0], [4, 6])
    assert [len(images) for images in dataset["images"]] == [1, 0]
    assert dataset[0]["images"][0].size == (16, 16)


def test_a_table_in_llavas_form_without_labels_is_clean_on_the_callers_word(llava_table):
    dataset, _ = load_safety_dataset(llava_table(), unlabelled="clean")
    assert dataset["safety_level"][:] == [0, 0]


def test_an_unknown_role_in_a_table_is_named_with_its_row(llava_table):
    path = llava_table(("robot", "gpt"), safe_level=[0, 0], safe_type=[6, 6])
    with pytest.raises(InvalidDatasetError, match="turn 1 has the unknown role 'robot'") as caught:
        load_safety_dataset(path)
    assert [bad_row.number for bad_row in caught.value.report.bad_rows] == [1, 2]


def test_two_columns_that_say_the_same_are_refused(row, llava_table):
    with pytest.raises(ValueError, match="'conversations' and 'messages' say the same; keep one"):
        load_safety_dataset(llava_table(messages=[row["messages"]] * 2))


@pytest.mark.parametrize("unlabelled", ["clean", "ignore"])
def test_rows_of_a_dataset_without_labels_are_what_the_caller_says(unlabelled, row, save):
    folder = save({name: row[name] for name in ("messages", "images")})
    dataset, _ = load_safety_dataset(folder, unlabelled=unlabelled)
    label = {"clean": 0, "ignore": UNLABELLED}[unlabelled]
    assert dataset["safety_level"][:] == [label]


def test_unlabelled_has_no_effect_on_a_dataset_with_labels(row, save):
    with pytest.raises(ValueError, match="`unlabelled` has no effect"):
        load_safety_dataset(save(row), unlabelled="clean")


def test_a_prompt_and_a_completion_pass_through(row, save):
    messages = row.pop("messages")
    dataset, _ = load_safety_dataset(save({**row, "prompt": messages[:1], "completion": messages[1:]}))
    assert dataset[0]["completion"] == messages[1:]


@pytest.mark.parametrize("content", ["<image> What?", [{"type": "text", "text": "<image> What?"}]], ids=str)
def test_a_prompt_of_turns_gives_images_as_parts(content, row, save):
    del row["messages"]
    turns = [{"role": "user", "content": content}], [{"role": "assistant", "content": content}]
    with pytest.raises(InvalidDatasetError, match="the text of turn 1 contains <image>"):
        load_safety_dataset(save({**row, "prompt": turns[0], "completion": turns[1]}))


@pytest.mark.parametrize("content", ["<image> What?", [{"type": "text", "text": "<image> What?"}]], ids=str)
def test_messages_may_mark_images_in_their_text(content, row, save):
    answer = "A square." if isinstance(content, str) else [{"type": "text", "text": "A square."}]
    turns = [{"role": "user", "content": content}, {"role": "assistant", "content": answer}]
    dataset, _ = load_safety_dataset(save({**row, "messages": turns}))
    assert dataset[0]["messages"] == row["messages"]


def test_label_names_become_indices(row, save):
    dataset, _ = load_safety_dataset(save({**row, "safety_level": "high", "safety_type": "privacy"}))
    assert dataset.features["safety_level"] == Value("int64")
    assert (dataset[0]["safety_level"], dataset[0]["safety_type"]) == (3, 4)


@pytest.mark.parametrize("missing", [None, UNLABELLED])
def test_a_row_may_be_unlabelled(missing, row, save):
    unlabelled = {**row, "safety_level": missing, "safety_type": missing}
    dataset, _ = load_safety_dataset(save(row, unlabelled))
    assert dataset["safety_level"][:] == [0, UNLABELLED]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"safety_level": 4}, "'safety_level': 4 is neither"),
        ({"safety_level": 1}, "level 'low' contradicts type 'safe'"),
        ({"images": []}, "1 image placeholders for 0 images"),
        ({"images": [{"bytes": b"no image", "path": None}]}, "an embedded image cannot be decoded"),
        ({"messages": [{"role": "user", "content": "<image> <image>"}]}, "2 image placeholders for 1 images"),
        ({"messages": [{"role": "user", "content": "What?"}]}, "end with assistant"),
        ({"messages": [{"role": "robot", "content": "What?"}]}, "turn 1 has the unknown role 'robot'"),
    ],
)
def test_a_bad_row_is_refused_with_its_number_and_reason(changes, reason, row, save):
    features = Dataset.from_list([{**row, **changes}]).features
    good = row
    if "messages" in changes:
        good = {**row, "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]}
    with pytest.raises(InvalidDatasetError) as caught:
        load_safety_dataset(save(good, {**row, **changes}, messages=features["messages"]))
    (bad_row,) = caught.value.report.bad_rows
    assert bad_row.number == 2
    assert reason in str(bad_row)


@pytest.mark.parametrize("column", ["messages", "images", "safety_level", "safety_type"])
def test_a_missing_column_is_named(column, row, tmp_path):
    del row[column]
    Dataset.from_list([row]).save_to_disk(tmp_path / "saved")
    with pytest.raises(ValueError, match=column):
        load_safety_dataset(tmp_path / "saved")


def test_skip_leaves_bad_rows_out(row, save):
    dataset, report = load_safety_dataset(save({**row, "safety_level": 9}, row), on_error="skip")
    assert len(dataset) == 1
    assert [bad_row.number for bad_row in report.bad_rows] == [1]


NO_USE = [(name, "config_name") for name in ("rows.parquet", "saved", "splits", "lines.jsonl")]
NO_USE += [(name, "image_folder") for name in ("rows.parquet", "saved", "splits", "folder")]


@pytest.mark.parametrize(("name", "option"), NO_USE)
def test_an_option_that_a_source_has_no_use_for_is_refused(name, option, row, tmp_path):
    dataset = Dataset.from_list([row])
    dataset.save_to_disk(tmp_path / "saved")
    DatasetDict({"train": dataset}).save_to_disk(tmp_path / "splits")
    (tmp_path / "lines.jsonl").write_text("{}")
    (tmp_path / "folder").mkdir()
    dataset.to_parquet(tmp_path / "folder" / "train.parquet")
    dataset.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match=f"`{option}` has no effect"):
        load_safety_dataset(tmp_path / name, **{option: "other"})


def test_a_split_that_does_not_exist_is_named_with_those_that_do(row, tmp_path):
    DatasetDict({"train": Dataset.from_list([row])}).save_to_disk(tmp_path / "splits")
    with pytest.raises(ValueError, match="no split 'test', but train"):
        load_safety_dataset(tmp_path / "splits", split="test")
