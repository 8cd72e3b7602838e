"""The head is scored on labelled rows, and by verdicts that were written down."""

import copy

import pytest
import torch
from datasets import Dataset, Features, Image, List, Value

from safe_llava import SafetyPolicy
from safe_llava.evaluation.head_scores import score_head, score_verdicts


@pytest.fixture
def dataset(make_image) -> Dataset:
    """Six labelled rows, one without labels and one without an image."""

    def row(index: int, level: int, risk_type: int, has_image: bool = True) -> dict:
        turns = [{"role": "user", "content": "What is this?"}, {"role": "assistant", "content": "A cat."}]
        images = [make_image(index)] if has_image else []
        return {"messages": turns, "images": images, "safety_level": level, "safety_type": risk_type}

    labels = [(0, 6), (0, 6), (1, 4), (2, 4), (3, 1), (3, 0)]
    rows = [row(index, *pair) for index, pair in enumerate(labels)]
    features = Features(
        {
            "messages": List({"role": Value("string"), "content": Value("string")}),
            "images": List(Image()),
            "safety_level": Value("int64"),
            "safety_type": Value("int64"),
        }
    )
    return Dataset.from_list([*rows, row(6, -100, -100), row(7, 0, 6, has_image=False)], features=features)


@pytest.fixture
def verdicts(tiny_safe_llava, tiny_processor, dataset) -> list[dict]:
    """What `assess` says of the labelled rows, with their labels."""
    rows = dataset.select(range(6))
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is this?"}]}]
    prompt = tiny_processor.apply_chat_template(chat, add_generation_prompt=True)
    inputs = tiny_processor(images=[row["images"][0] for row in rows], text=[prompt] * 6, return_tensors="pt")
    with torch.no_grad():
        said = tiny_safe_llava.assess(**inputs).to_list()
    return [{**verdict, **{name: row[name] for name in LABELS}} for verdict, row in zip(said, rows)]


LABELS = ("safety_level", "safety_type")


def test_a_model_and_its_own_verdicts_have_the_same_figures(tiny_safe_llava, tiny_processor, dataset, verdicts):
    by_model = score_head(tiny_safe_llava, tiny_processor, dataset, batch_size=4, num_resamples=0)
    by_log = score_verdicts(verdicts, num_resamples=0)
    assert by_model["rows"] == by_log["rows"] == 6
    for name in ("level", "type", "risky"):
        values = [{k: v["value"] for k, v in scores[name].items() if k != "rows"} for scores in (by_model, by_log)]
        assert values[0] == pytest.approx(values[1], abs=1e-5)


def test_rows_that_cannot_be_scored_are_counted(tiny_safe_llava, tiny_processor, dataset, verdicts):
    scores = score_head(tiny_safe_llava, tiny_processor, dataset, num_resamples=0)
    assert scores["left_out"] == {"unlabelled": 1, "without_image": 1}
    nothing = [dict.fromkeys(LABELS, unknown) for unknown in (None, -100)]
    others = [*nothing, {"has_image": False}, {"trusted": False}]
    log = [*verdicts, *({**verdicts[0], **change} for change in others)]
    assert score_verdicts(log, num_resamples=0)["left_out"] == {
        "unlabelled": 2,
        "without_image": 1,
        "untrusted": 1,
    }


def test_verdicts_of_what_may_be_harmless_or_not_are_counted_apart(verdicts):
    log = [*verdicts, {**verdicts[0], "safety_level": ["none", "high"], "safety_type": None}]
    scores = score_verdicts(log, num_resamples=0)
    assert scores["rows"] == 6
    assert scores["left_out"]["several_classes"] == 1


@pytest.mark.parametrize("level", [["low", "high"], "risky", None])
def test_a_risk_whose_level_is_not_known_counts_for_its_type_and_for_risk(verdicts, level):
    scores = score_verdicts([*verdicts, {**verdicts[0], "safety_level": level, "safety_type": 4}], num_resamples=0)
    assert [scores[name]["rows"] for name in ("level", "type", "risky")] == [6, 7, 5]
    assert scores["types"]["privacy"]["rows"] == 3


def test_a_list_of_one_class_is_that_class(verdicts):
    lists = [{**row, "safety_level": [row["safety_level"]], "safety_type": [row["safety_type"]]} for row in verdicts]
    assert score_verdicts(lists, num_resamples=0) == score_verdicts(verdicts, num_resamples=0)


def test_the_temperature_of_the_stored_policy_is_in_force(tiny_safe_llava, tiny_processor, dataset):
    hot = copy.deepcopy(tiny_safe_llava)
    hot.set_safety_policy(SafetyPolicy(temperature={"level": 5.0, "type": 1.0}), tiny_processor)
    scores = score_head(hot, tiny_processor, dataset, num_resamples=0)
    plain = score_head(tiny_safe_llava, tiny_processor, dataset, num_resamples=0)
    assert scores["temperature"] == {"level": 5.0, "type": 1.0}
    assert scores["level"]["ece"] != plain["level"]["ece"]
    assert scores["type"] == plain["type"]


def test_verdicts_may_hold_lists_and_names_of_labels():
    row = {"level_probs": [0.9, 0.1, 0, 0], "type_probs": [0, 0, 0, 0, 0.1, 0, 0.9]}
    rows = [{**row, "safety_level": "none", "safety_type": "safe"}, {**row, "safety_level": "low", "safety_type": 4}]
    scores = score_verdicts(rows, num_resamples=0)
    assert scores["level"]["accuracy"]["value"] == scores["type"]["accuracy"]["value"] == 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"level_probs": [1, 0, 0]}, "Row 2: level_probs must have a number for each of none, low, medium, high"),
        ({"type_probs": {"safe": 1.0}}, "Row 2: type_probs must have a number for each of politics"),
        ({"safety_level": "extreme"}, "Row 2: 'extreme' is neither an index from 0 to 3"),
    ],
)
def test_a_wrong_row_is_refused_by_its_number(verdicts, change, message):
    with pytest.raises(ValueError, match=message):
        score_verdicts([verdicts[0], {**verdicts[1], **change}])


def test_a_row_without_a_field_is_refused_by_its_number(verdicts):
    row = {name: value for name, value in verdicts[1].items() if name != "type_probs"}
    with pytest.raises(ValueError, match=r"Row 2 lacks type_probs\."):
        score_verdicts([verdicts[0], row])


def test_a_log_without_any_labelled_verdict_is_refused(verdicts):
    with pytest.raises(ValueError, match=r"no labelled verdict .*'untrusted': 6"):
        score_verdicts([{**row, "trusted": False} for row in verdicts])
