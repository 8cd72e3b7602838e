import pytest
from datasets import Dataset, Features, Image, List, Value
from json_forms import ROLES
from PIL import Image as PILImage

from safe_llava.data import add_hints
from safe_llava.miniature.scene_dataset import build_dataset
from safe_llava.models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from safe_llava.models.safety_texts import DEFAULT_HINTS


@pytest.fixture(scope="module")
def rows() -> tuple[list[dict], list[dict]]:
    """The same conversations without hints and with them, images left out."""
    dataset = build_dataset("train", 120, stage="stage1")
    return tuple(data.remove_columns("images").to_list() for data in (dataset, add_hints(dataset, DEFAULT_HINTS)))


def with_columns(**columns) -> Dataset:
    features = Features(
        {
            "images": List(Image()),
            "safety_level": Value("int64"),
            "safety_type": Value("int64"),
        }
    )
    labels = {"images": [[PILImage.new("RGB", (8, 8))]], "safety_level": [3], "safety_type": [4]}
    dataset = Dataset.from_dict(labels, features=features)
    for name, value in columns.items():
        dataset = dataset.add_column(name, [value])
    return dataset


def test_the_hint_of_level_and_type_stands_behind_the_last_question(rows):
    risky = [pair for pair in zip(*rows) if pair[0]["kind"] in ("risky", "pair_risky", "written_risky")]
    assert risky
    for before, after in risky:
        hint = DEFAULT_HINTS[SAFETY_TYPES[before["safety_type"]]][SAFETY_LEVELS[before["safety_level"]]]
        assert after["messages"][-2]["content"] == f"{before['messages'][-2]['content']} {hint}"


def test_answers_and_earlier_turns_are_as_they_were(rows):
    for before, after in zip(*rows):
        assert after["messages"][:-2] == before["messages"][:-2]
        assert after["messages"][-1] == before["messages"][-1]


def test_clean_rows_and_rows_without_an_image_get_no_hint():
    dataset = build_dataset("train", 120, stage="stage1")
    hinted = add_hints(dataset, DEFAULT_HINTS)
    for before, after in zip(dataset, hinted):
        if not before["images"] or before["safety_level"] == 0:
            assert after["messages"] == before["messages"]


def test_images_are_kept_to_the_last_pixel():
    dataset = build_dataset("train", 10, stage="stage1")
    assert add_hints(dataset, DEFAULT_HINTS)["images"][:] == dataset["images"][:]


def test_of_content_parts_the_last_text_gets_the_hint():
    prompt = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Who is this?"}]}]
    completion = [{"role": "assistant", "content": [{"type": "text", "text": "No."}]}]
    [row] = add_hints(with_columns(prompt=prompt, completion=completion), DEFAULT_HINTS)
    assert row["prompt"][0]["content"][-1]["text"] == "Who is this? " + DEFAULT_HINTS["privacy"]["high"]


def test_a_later_question_in_the_completion_gets_the_hint():
    turns = [("user", "Who?"), ("assistant", "A man."), ("user", "His name?"), ("assistant", "No.")]
    messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
    messages[0]["content"].insert(0, {"type": "image", "text": None})
    [row] = add_hints(with_columns(prompt=messages[:1], completion=messages[1:]), DEFAULT_HINTS)
    texts = [turn["content"][-1]["text"] for turn in row["prompt"] + row["completion"]]
    assert texts == ["Who?", "A man.", "His name? " + DEFAULT_HINTS["privacy"]["high"], "No."]


def test_prompts_that_are_plain_text_are_refused():
    with pytest.raises(ValueError, match="lists of turns"):
        add_hints(with_columns(prompt="USER: <image> Who? ASSISTANT:", completion="No."), DEFAULT_HINTS)


@pytest.mark.parametrize("role", ROLES, ids=str)
def test_the_question_is_found_under_every_role(role):
    turns = [{"role": role[0], "content": "Who is this?"}, {"role": role[1], "content": "No."}]
    [row] = add_hints(with_columns(messages=turns), DEFAULT_HINTS)
    assert row["messages"][0]["content"] == "Who is this? " + DEFAULT_HINTS["privacy"]["high"]


@pytest.mark.parametrize("roles", [("robot", "assistant"), ("user", "robot")])
def test_an_unknown_role_is_an_error(roles):
    turns = [{"role": role, "content": "Who is this?"} for role in roles]
    with pytest.raises(ValueError, match="has the unknown role 'robot'"):
        add_hints(with_columns(messages=turns), DEFAULT_HINTS)


def test_hints_for_rows_of_which_none_is_risky_are_refused():
    dataset = build_dataset("train", 60, stage="stage1").filter(lambda row: row["safety_level"] == 0)
    with pytest.raises(ValueError, match="Hints have no effect"):
        add_hints(dataset, DEFAULT_HINTS)
