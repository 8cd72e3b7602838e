"""What a batch holds: the sequence that `generate` would see, and labels on answers alone."""

import pytest
import torch
from PIL import Image

from safe_llava.training import SafeDataCollator


IMAGE = Image.new("RGB", (30, 30), "red")
ANSWER = {"role": "assistant", "content": [{"type": "text", "text": "A red square ."}]}
QUESTION = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Which colour ?"}]}
FOLLOW_UP = {"role": "user", "content": [{"type": "text", "text": "What is shown ?"}]}


@pytest.fixture
def collate(processor):
    return SafeDataCollator(processor)


def labelled_text(processor, batch, row=0):
    labels = batch["labels"][row]
    return processor.tokenizer.decode(labels[labels != -100])


def test_the_prompt_is_token_for_token_what_generation_sees(collate, processor):
    batch = collate([{"messages": [QUESTION, ANSWER], "images": [IMAGE]}])
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image", "image": IMAGE}, QUESTION["content"][1]]}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    length = prompt["input_ids"].shape[1]
    assert batch["input_ids"][0, :length].tolist() == prompt["input_ids"][0].tolist()
    assert (batch["labels"][0, :length] == -100).all()
    assert torch.equal(batch["pixel_values"], prompt["pixel_values"])


def test_the_labels_are_the_answer_and_a_token_that_ends_it(collate, processor):
    batch = collate([{"messages": [QUESTION, ANSWER], "images": [IMAGE]}])
    assert labelled_text(processor, batch) == "A red square .</s>"


def test_the_answers_tokens_follow_the_prompt_without_a_second_space(collate, processor):
    batch = collate([{"messages": [QUESTION, ANSWER], "images": [IMAGE]}])
    first = batch["labels"][0][batch["labels"][0] != -100][0]
    assert processor.tokenizer.convert_ids_to_tokens(int(first)) == "▁A"


def test_every_assistant_turn_is_labelled_and_no_user_turn(collate, processor):
    batch = collate([{"messages": [QUESTION, ANSWER, FOLLOW_UP, ANSWER], "images": [IMAGE]}])
    assert labelled_text(processor, batch) == "A red square . A red square .</s>"


def test_of_a_prompt_with_earlier_answers_only_the_completion_is_labelled(collate, processor):
    batch = collate([{"prompt": [QUESTION, ANSWER, FOLLOW_UP], "completion": [ANSWER], "images": [IMAGE]}])
    assert labelled_text(processor, batch) == "A red square .</s>"


def test_messages_and_prompt_completion_give_the_same_batch(collate):
    first = collate([{"messages": [QUESTION, ANSWER], "images": [IMAGE]}])
    second = collate([{"prompt": [QUESTION], "completion": [ANSWER], "images": [IMAGE]}])
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_plain_text_prompts_and_completions_are_taken_as_they_are(collate, processor):
    row = {"prompt": "USER: <image>\n What is shown ? ASSISTANT:", "completion": " A red square .", "images": [IMAGE]}
    batch = collate([row])
    assert labelled_text(processor, batch) == "A red square .</s>"
    assert (batch["input_ids"] == processor.image_token_id).sum() == 25 + 4


def test_string_messages_put_the_images_before_the_first_question(collate):
    strings = [{"role": "user", "content": "Which colour ?"}, {"role": "assistant", "content": "A red square ."}]
    first = collate([{"messages": strings, "images": [IMAGE]}])
    second = collate([{"messages": [QUESTION, ANSWER], "images": [IMAGE]}])
    assert torch.equal(first["input_ids"], second["input_ids"])


def test_each_row_of_a_mixed_batch_is_labelled_as_it_is_alone(collate):
    pair = {"role": "user", "content": [{"type": "image"}, {"type": "image"}, QUESTION["content"][1]]}
    rows = [
        {"messages": [FOLLOW_UP, ANSWER], "images": []},
        {"messages": [pair, ANSWER, FOLLOW_UP, ANSWER], "images": [IMAGE, IMAGE]},
        {"messages": [QUESTION, ANSWER], "images": [IMAGE]},
    ]
    batch = collate(rows)
    for index, row in enumerate(rows):
        alone = collate([row])
        length = alone["labels"].shape[1]
        assert torch.equal(batch["labels"][index, :length], alone["labels"][0])
        assert (batch["labels"][index, length:] == -100).all()


def test_a_batch_without_images_has_no_pixel_values(collate):
    assert "pixel_values" not in collate([{"messages": [FOLLOW_UP, ANSWER], "images": []}])


def test_missing_labels_become_minus_100(collate):
    rows = [
        {"messages": [FOLLOW_UP, ANSWER], "images": [], "safety_level": 2, "safety_type": 4},
        {"messages": [FOLLOW_UP, ANSWER], "images": [], "safety_level": None, "safety_type": None},
    ]
    batch = collate(rows)
    assert batch["safety_level"].tolist() == [2, -100]
    assert batch["safety_type"].tolist() == [4, -100]


def test_max_length_cuts_tokens_mask_and_labels_alike(processor):
    row = {"messages": [FOLLOW_UP, ANSWER], "images": []}
    length = SafeDataCollator(processor)([row])["input_ids"].shape[1] - 3
    batch = SafeDataCollator(processor, max_length=length)([row])
    assert {batch[name].shape for name in ("input_ids", "attention_mask", "labels")} == {(1, length)}


@pytest.mark.parametrize(("max_length", "lost"), [(20, "an image"), (34, "the whole answer")])
def test_a_length_that_cuts_away_an_image_or_an_answer_is_refused(processor, max_length, lost):
    with pytest.raises(ValueError, match=rf"`max_length` \({max_length}\) cuts {lost}"):
        SafeDataCollator(processor, max_length=max_length)([{"messages": [QUESTION, ANSWER], "images": [IMAGE]}])


def test_one_image_in_a_column_image_is_a_list_of_one(collate):
    rows = {"images": [IMAGE]}, {"image": IMAGE}
    first, second = (collate([{"messages": [QUESTION, ANSWER], **images}]) for images in rows)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert "pixel_values" not in collate([{"messages": [FOLLOW_UP, ANSWER], "image": None}])


def test_an_image_that_a_message_brings_itself_is_read(collate):
    part = {"type": "image", "image": IMAGE}
    question = {"role": "user", "content": [part, QUESTION["content"][1]]}
    expected = collate([{"messages": [QUESTION, ANSWER], "images": [IMAGE]}])
    batch = collate([{"messages": [question, ANSWER], "images": []}])
    assert torch.equal(batch["pixel_values"], expected["pixel_values"])


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [QUESTION, ANSWER], "images": []},
        {"messages": [QUESTION, ANSWER], "image": None},
        {"messages": [QUESTION, ANSWER], "images": [IMAGE, IMAGE]},
        {"messages": [FOLLOW_UP, ANSWER], "images": [IMAGE]},
        {"prompt": [QUESTION], "completion": [ANSWER], "images": []},
        {"prompt": "What ?", "completion": "A square .", "images": [IMAGE]},
        {"prompt": "<image> What ?", "completion": "A square .", "images": []},
    ],
    ids=["lacking", "null", "one too many", "in no question", "lacking in a prompt", "in no text", "lacking in text"],
)
def test_a_row_whose_images_and_placeholders_differ_is_refused_whatever_stands_beside_it(collate, row):
    """One with too many, and one with too few, would make up for each other."""
    others = [
        {"messages": [QUESTION, ANSWER], "images": [IMAGE]},
        {"prompt": "<image> <image> What ?", "completion": "A square .", "images": [IMAGE]},
    ]
    for batch in ([row], [others[0], row]):
        with pytest.raises(ValueError, match=r"image placeholders"):
            collate(batch)
    with pytest.raises(ValueError, match=r"image placeholders"):
        collate([others[1], row])


def test_a_row_without_an_answer_is_refused(collate):
    with pytest.raises(ValueError, match="no assistant turn"):
        collate([{"messages": [QUESTION], "images": [IMAGE]}])


HEAD_ONLY = {"messages": [QUESTION], "images": [IMAGE], "safety_level": "high", "safety_type": "privacy"}


def test_a_row_for_the_head_alone_is_the_prompt_and_has_nothing_for_the_language_model(collate):
    alone, answered = (
        collate([{**HEAD_ONLY, **row}]) for row in ({"head_only": True}, {"messages": [QUESTION, ANSWER]})
    )
    length = alone["input_ids"].shape[1]
    assert alone["input_ids"][0].tolist() == answered["input_ids"][0, :length].tolist()
    assert (alone["labels"] == -100).all() and (answered["labels"][0, :length] == -100).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"head_only": False}, "no assistant turn"),
        ({"head_only": True, "messages": [QUESTION, ANSWER]}, "end with the user's turn"),
        ({"head_only": True, "safety_level": -100, "safety_type": -100}, "nothing to learn"),
    ],
)
def test_a_row_without_an_answer_must_say_so_and_have_a_label(changes, message, collate):
    with pytest.raises(ValueError, match=message):
        collate([{**HEAD_ONLY, **changes}])


def test_labels_may_be_names(collate):
    rows = [{"safety_level": "high", "safety_type": "privacy"}, {"safety_level": 0, "safety_type": "safe"}]
    batch = collate([{"messages": [FOLLOW_UP, ANSWER], "images": [], **labels} for labels in rows])
    assert (batch["safety_level"].tolist(), batch["safety_type"].tolist()) == ([3, 0], [4, 6])


@pytest.mark.parametrize(
    "labels", [{"safety_level": 4}, {"safety_type": 7}, {"safety_level": "dire"}, {"safety_type": True}]
)
def test_what_is_no_label_is_refused_by_name(collate, labels):
    with pytest.raises(ValueError, match=f"'{next(iter(labels))}'"):
        collate([{"messages": [FOLLOW_UP, ANSWER], "images": [], "safety_level": 0, "safety_type": 6, **labels}])


def test_a_template_that_ends_the_turn_itself_gets_no_second_end(collate, processor):
    processor.chat_template = processor.chat_template.replace(
        "{{ part.text + ' ' }}{%- endgeneration", "{{ part.text + '</s>\n' }}{%- endgeneration"
    )
    batch = collate([{"messages": [FOLLOW_UP, ANSWER, FOLLOW_UP, ANSWER], "images": []}])
    assert labelled_text(processor, batch) == "A red square .</s> A red square .</s>"


def test_a_template_that_rewrites_earlier_turns_is_refused(collate, processor):
    processor.chat_template = "{{ messages | length }}" + processor.chat_template
    with pytest.raises(ValueError, match="answers cannot be told from prompts"):
        collate([{"messages": [FOLLOW_UP, ANSWER], "images": []}])
