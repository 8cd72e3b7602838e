"""Which rows are assessed, and what the head is shown of them."""

import pytest
import torch
from datasets import Dataset, Features, Image, List, Value

from safe_llava.calibration import collect_logits, select_rows
from safe_llava.data.label_parsing import parse_labels


PARTS = List({"type": Value("string"), "text": Value("string")})
LABELS = {"images": List(Image()), "safety_level": Value("int64"), "safety_type": Value("int64")}


def text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


@pytest.fixture
def make_dataset(make_image):
    """Three rows in one of the ways that a dataset may hold a conversation."""

    def make(form: str, answer: str = "A cat.") -> Dataset:
        def build(index: int) -> dict:
            question = f"What is in picture {index}?"
            if form == "strings":
                user, assistant = question, answer
            else:
                user, assistant = [{"type": "image"}, text(question)], [text(answer)]
            turns = [{"role": "user", "content": user}, {"role": "assistant", "content": assistant}]
            columns = {"messages": turns} if form != "pairs" else {"prompt": turns[:1], "completion": turns[1:]}
            if form == "questions":
                columns = {"messages": turns[:1]}
            if form == "texts":
                columns = {"prompt": f"USER: <image>\n{question} ASSISTANT:", "completion": answer}
            return {**columns, "images": [make_image(index)], "safety_level": index, "safety_type": 6 - index}

        content = Value("string") if form == "strings" else PARTS
        turn = List({"role": Value("string"), "content": content})
        names = {"pairs": ("prompt", "completion"), "texts": ("prompt", "completion")}.get(form, ("messages",))
        columns = dict.fromkeys(names, Value("string") if form == "texts" else turn)
        return Dataset.from_list([build(index) for index in range(3)], features=Features({**columns, **LABELS}))

    return make


def test_logits_are_those_that_assess_gives_for_the_question(
    tiny_safe_llava, tiny_processor, make_dataset, make_image
):
    found = collect_logits(tiny_safe_llava, tiny_processor, make_dataset("parts"), batch_size=2)
    parts = [{"type": "image", "image": make_image(1)}, text("What is in picture 1?")]
    inputs = tiny_processor.apply_chat_template(
        [{"role": "user", "content": parts}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    verdict = tiny_safe_llava.assess(**inputs, safety_policy=False)
    torch.testing.assert_close(torch.tensor(found["type_logits"][1]), verdict.type_logits[0])
    torch.testing.assert_close(torch.tensor(found["level_logits"][1]), verdict.level_logits[0])
    assert (found["safety_level"].tolist(), found["safety_type"].tolist()) == ([0, 1, 2], [6, 5, 4])


def test_the_head_does_not_see_the_answer(tiny_safe_llava, tiny_processor, make_dataset):
    first, second = (
        collect_logits(tiny_safe_llava, tiny_processor, make_dataset("parts", answer))["type_logits"]
        for answer in ("A cat.", "I cannot help with this picture.")
    )
    assert (first == second).all()


@pytest.mark.parametrize("form", ["strings", "pairs", "texts", "questions"])
def test_every_form_of_a_conversation_gives_the_same_logits(form, tiny_safe_llava, tiny_processor, make_dataset):
    ours, parts = (
        torch.tensor(collect_logits(tiny_safe_llava, tiny_processor, make_dataset(name))["type_logits"])
        for name in (form, "parts")
    )
    torch.testing.assert_close(ours, parts)


def test_rows_without_labels_or_without_an_image_are_left_out_and_counted(make_dataset):
    rows = make_dataset("strings").to_list()
    rows += [{**rows[0], "safety_level": -100, "safety_type": -100}, {**rows[0], "images": []}]
    dataset = Dataset.from_list(rows, features=make_dataset("strings").features)
    kept, left_out = select_rows(dataset)
    assert kept["safety_level"] == [0, 1, 2]
    assert left_out == {"unlabelled": 1, "without_image": 1}


def test_rows_of_which_several_classes_are_possible_are_left_out_and_counted_apart(make_dataset):
    dataset = make_dataset("strings").remove_columns(["safety_level", "safety_type"])
    labels = [{"safety_level": "risky", "safety_type": 4}, {"safety_level": 1, "safety_type": "risky"}, {}]
    parsed = [parse_labels(row)[0] for row in labels]
    for name in parsed[0]:
        dataset = dataset.add_column(name, [row[name] for row in parsed])
    kept, left_out = select_rows(dataset)
    assert len(kept) == 0
    assert left_out == {"unlabelled": 1, "several_classes": 2, "without_image": 0}


def test_verdicts_that_cannot_be_trusted_are_refused(tiny_safe_llava, tiny_processor, make_dataset, monkeypatch):
    monkeypatch.setattr(tiny_safe_llava.config, "safety_training", None)
    with pytest.raises(ValueError, match=r"3 verdicts cannot be trusted.*Train stage 1"):
        collect_logits(tiny_safe_llava, tiny_processor, make_dataset("parts"))
