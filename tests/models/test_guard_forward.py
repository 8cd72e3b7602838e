"""The guard is a model for image classification: each argument of one has its effect, or is an error."""

import copy

import pytest
import torch
from datasets import Dataset
from transformers import Trainer, TrainingArguments

from safe_llava import SafeLlavaForSafetyClassification


@pytest.fixture(scope="module")
def checkpoint(tiny_safe_llava, tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint")
    tiny_safe_llava.save_pretrained(folder)
    return folder


@pytest.fixture
def guard(checkpoint):
    return SafeLlavaForSafetyClassification.from_pretrained(checkpoint, attn_implementation="eager")


@pytest.fixture
def inputs(make_mixed_batch, tiny_processor):
    return dict(make_mixed_batch(tiny_processor))


TYPES = torch.tensor([3, -100, 6])


def test_labels_are_the_risk_types(guard, inputs):
    outputs = guard(**inputs, labels=TYPES)
    expected = torch.nn.functional.cross_entropy(outputs.type_logits, TYPES, ignore_index=-100)
    torch.testing.assert_close(outputs.loss, expected)
    torch.testing.assert_close(guard(**inputs, safety_type=TYPES).loss, expected)


def test_either_label_alone_gives_its_loss_and_both_their_sum(guard, tiny_safe_llava, inputs):
    for model, name in ((guard, "loss"), (tiny_safe_llava, "safety_loss")):
        levels = {"safety_level": torch.tensor([2, 0, -100])}
        types = {"safety_type": TYPES}
        level_loss, type_loss, both = (model(**inputs, **given)[name] for given in (levels, types, levels | types))
        assert level_loss > 0
        torch.testing.assert_close(level_loss + type_loss, both)


def test_labels_that_cannot_be_meant_are_refused(guard, inputs):
    with pytest.raises(ValueError, match="are the same"):
        guard(**inputs, labels=TYPES, safety_type=TYPES)
    with pytest.raises(ValueError, match=r"of shape \(batch_size,\)"):
        guard(**inputs, labels=inputs["input_ids"])


@pytest.mark.parametrize("by", ["argument", "config"])
@pytest.mark.parametrize("name", ["hidden_states", "attentions"])
def test_what_the_vision_tower_saw_is_returned_where_it_is_asked_for(guard, inputs, name, by):
    expected = getattr(guard.model.vision_tower(inputs["pixel_values"], **{f"output_{name}": True}), name)
    assert getattr(guard(**inputs), name) is None
    asked = {f"output_{name}": True}
    if by == "config":
        setattr(guard.config, f"output_{name}", True)
        asked = {}
    outputs = guard(**inputs, **asked)
    assert len(outputs[name]) == len(expected) > 1
    assert all(torch.equal(one, other) for one, other in zip(outputs[name], expected))
    assert torch.equal(outputs.level_logits, guard(**inputs, **dict.fromkeys(asked, False)).level_logits)


def test_layers_of_the_tower_cannot_be_chosen(guard, inputs):
    with pytest.raises(ValueError, match="must be True or False"):
        guard(**inputs, output_hidden_states=[0])


def test_return_dict_false_gives_a_tuple_of_the_same(guard, inputs):
    as_tuple, as_dict = (guard(**inputs, labels=TYPES, return_dict=value) for value in (False, True))
    assert isinstance(as_tuple, tuple)
    assert all(torch.equal(one, other) for one, other in zip(as_tuple, as_dict.to_tuple(), strict=True))


@pytest.mark.parametrize("name", ["label", "output_hidden_state", "use_cache", "inputs_embeds", "num_items_in_batch"])
def test_an_argument_that_has_no_effect_is_refused(guard, inputs, name):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        guard(**inputs, **{name: None})


def test_what_is_asked_of_the_tower_does_not_go_with_features_that_are_computed(guard, inputs):
    features = {"image": guard.get_image_features(inputs.pop("pixel_values"))}
    with pytest.raises(ValueError, match="output_hidden_states"):
        guard(**inputs, mm_encoder_outputs=features, output_hidden_states=True)


@pytest.mark.parametrize("columns", [("labels",), ("safety_level", "safety_type")])
def test_transformers_trainer_trains_and_evaluates_it(guard, tiny_processor, make_image, tmp_path, columns):
    rows = [
        {"image": make_image(seed), "labels": 4 * seed, "safety_type": 4 * seed, "safety_level": seed}
        for seed in range(2)
    ]

    def collate(batch):
        inputs = tiny_processor(
            images=[row["image"] for row in batch], text=["<image> Who?"] * len(batch), return_tensors="pt"
        )
        return dict(inputs) | {name: torch.tensor([row[name] for row in batch]) for name in columns}

    trainer = Trainer(
        copy.deepcopy(guard),
        TrainingArguments(
            str(tmp_path),
            max_steps=10,
            learning_rate=3e-3,
            use_cpu=True,
            remove_unused_columns=False,
            report_to="none",
            gradient_accumulation_steps=2,
            per_device_train_batch_size=1,
            label_names=list(columns),
            disable_tqdm=True,
        ),
        data_collator=collate,
        train_dataset=Dataset.from_list(rows),
        eval_dataset=Dataset.from_list(rows),
        compute_metrics=lambda found: {
            "accuracy": (found.predictions[-1].argmax(-1) == found.label_ids[-1]).mean()
            if len(columns) > 1
            else (found.predictions[-1].argmax(-1) == found.label_ids).mean()
        },
    )
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_loss"] < before["eval_loss"]
    assert after["eval_accuracy"] == 1.0
