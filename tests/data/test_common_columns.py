"""Sets of any two forms become one, and what a model sees and learns of each row is as it was."""

import itertools

import pytest
from datasets import Image, List, concatenate_datasets
from set_rows import FORMS, make_set

from safe_llava.data import load_safety_dataset
from safe_llava.data.common_columns import join_datasets
from safe_llava.miniature.scene_dataset import build_dataset
from safe_llava.training import SafeDataCollator


ROWS = (
    {"images": [1, 2], "question": "Which one ?", "answer": "A red square .", "level": 3, "type": 4},
    {"images": [], "question": "Hello ?", "answer": "Hello ."},
)


@pytest.fixture(scope="module")
def collator(tiny_processor):
    return SafeDataCollator(tiny_processor)


def batch(collator, dataset, row):
    return {name: values.tolist() for name, values in collator([dataset[row]]).items()}


@pytest.fixture(scope="module")
def alone(collator):
    """The batches of each row of a set, by the set's form."""
    return {form: [batch(collator, make_set(*ROWS, form=form), row) for row in range(2)] for form in FORMS}


@pytest.mark.parametrize("forms", [*itertools.product(FORMS, FORMS)], ids=" and ".join)
def test_every_pair_of_forms_gives_the_batches_that_each_gave_alone(forms, collator, alone):
    joined = join_datasets({f"set {place}": make_set(*ROWS, form=form) for place, form in enumerate(forms)})
    assert [batch(collator, joined, row) for row in range(4)] == alone[forms[0]] + alone[forms[1]]
    assert joined["source"] == ["set 0"] * 2 + ["set 1"] * 2


@pytest.mark.parametrize("other", FORMS)
def test_plain_prompts_are_not_joined_with_turns(other):
    with pytest.raises(ValueError, match=r"a has prompts of plain text and b has turns"):
        join_datasets({"a": make_set(*ROWS, form="plain"), "b": make_set(*ROWS, form=other)})


def test_plain_prompts_are_joined_with_their_like(collator):
    sets = {name: make_set(*ROWS, form="plain") for name in "ab"}
    joined = join_datasets(sets)
    assert [batch(collator, joined, row) for row in range(4)] == [
        batch(collator, sets["a"], 0 + row % 2) for row in range(4)
    ]


def test_sets_of_possible_classes_stay_where_only_one_set_has_them():
    unsure = make_set({"level": -100, "type": 4, "levels": [1, 2]})
    joined = join_datasets({"a": make_set({"level": 0}), "b": unsure})
    assert joined["possible_levels"] == [[], [1, 2]]
    assert joined["safety_level"] == [0, -100]


def test_no_column_of_sets_is_added_where_no_set_has_one():
    joined = join_datasets({name: make_set({}) for name in "ab"})
    assert joined.column_names == ["images", "safety_level", "safety_type", "messages", "source"]


def make_unanswered():
    dataset = make_set({"level": 3, "type": 4})
    asked = dataset.map(lambda row: {"messages": row["messages"][:1]})
    return asked.add_column("head_only", [True])


@pytest.mark.parametrize("form", FORMS[:4])
def test_rows_for_the_head_alone_are_still_told_from_the_others(form):
    joined = join_datasets({"a": make_set({}, form=form), "b": make_unanswered()})
    assert joined["head_only"] == [False, True]
    assert [len(turns) for turns in joined["messages"]] == [4, 1]


def test_rows_for_the_head_alone_are_not_joined_with_answers_in_prompts():
    with pytest.raises(ValueError, match="a has answers in its prompts and b has rows without an answer"):
        join_datasets({"a": make_set({}, form=FORMS[4]), "b": make_unanswered()})


def test_a_file_of_image_names_is_joined_with_drawn_scenes(write_lines, record, image_folder, collator):
    named, _ = load_safety_dataset(
        write_lines(record(), record(image=..., question="Hello ?")), image_folder=image_folder
    )
    scenes = build_dataset("train", 3, stage="stage1")
    joined = join_datasets({"named": named, "scenes": scenes})
    assert joined[0]["images"][0].size == (64, 64)
    assert [batch(collator, joined, 2 + row) for row in range(3)] == [batch(collator, scenes, row) for row in range(3)]


def test_encoded_images_are_joined_with_decoded_ones():
    plain = make_set({})
    encoded = plain.cast_column("images", List(Image(decode=False)))
    joined = join_datasets({"a": encoded, "b": plain})
    assert [images[0].size for images in joined["images"]] == [(48, 48)] * 2


def test_a_column_of_the_set_called_source_gives_way_to_ours():
    dataset = make_set({}).add_column("source", [3])
    assert join_datasets({"a": dataset, "b": dataset})["source"] == ["a", "b"]


@pytest.mark.parametrize("name", ["tools", "chat_template_kwargs"])
def test_a_column_that_changes_prompts_is_not_dropped_in_silence(name):
    with pytest.raises(ValueError, match=f"b has a column '{name}'"):
        join_datasets({"a": make_set({}), "b": make_set({}).add_column(name, ["x"])})


def test_a_field_of_a_turn_that_would_be_lost_is_named():
    dataset = make_set({})
    turns = [{**turn, "weight": 2} for turn in dataset[0]["messages"]]
    weighted = concatenate_datasets(
        [dataset.remove_columns("messages"), dataset.from_list([{"messages": turns}])], axis=1
    )
    with pytest.raises(ValueError, match="b: a turn has a field 'weight'"):
        join_datasets({"a": make_set({}, form="strings"), "b": weighted})
