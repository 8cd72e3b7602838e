"""Stage 1 ends with a head that has learned, and says so, or with one whose verdicts are not trusted."""

import copy

import pytest
import torch
from datasets import Dataset, concatenate_datasets

from recipes.train import main
from safe_llava import SafeLlavaForConditionalGeneration
from safe_llava.data.label_parsing import SOME_RISK
from safe_llava.data.mixing import mix_safety_dataset
from safe_llava.models.safety_trust import record_training
from safe_llava.training import train_only_safety_modules
from safe_llava.training.learning_check import count_labels, find_unlearned, measure_recall, set_aside
from safe_llava.training.sharded_record import record_weights


pytestmark = pytest.mark.own_logic

LEARNING = {"max_steps": 30, "learning_rate": 1e-2, "per_device_train_batch_size": 8, "logging_steps": 30}


@pytest.fixture
def many_rows(dataset) -> Dataset:
    """96 rows: red squares are harmless, blue ones high risks of privacy, a third is not labelled."""
    return concatenate_datasets([dataset] * 12)


@pytest.fixture
def stage_1(model, make_trainer, many_rows):
    train_only_safety_modules(model)
    return lambda **changes: make_trainer(
        train_dataset=many_rows, held_out_dataset=many_rows, **{**LEARNING, **changes}
    )


def test_a_head_that_has_learned_is_recorded_and_trusted(stage_1, model, inputs_of_a_row, tmp_path):
    trainer = stage_1()
    assert not model.assess(**inputs_of_a_row).trusted.any()
    trainer.train()
    assert trainer.unlearned == []
    assert model.config.safety_training["rows"]["level"] == {"none": 36, "low": 0, "medium": 0, "high": 36}
    assert model.config.safety_training["held_out"]["type"]["privacy"] == {
        "rows": 36,
        "recall": 1.0,
        "false_alarms": 0.0,
    }
    trainer.save_model(str(tmp_path / "saved"))
    loaded = SafeLlavaForConditionalGeneration.from_pretrained(tmp_path / "saved")
    assert loaded.assess(**inputs_of_a_row).trusted.all()


@pytest.mark.parametrize("learning_rate", [0.0, 1e-6])
def test_a_head_that_has_not_learned_is_named_class_by_class_and_not_trusted(
    learning_rate, stage_1, model, inputs_of_a_row
):
    trainer = stage_1(learning_rate=learning_rate)
    trainer.train()
    assert any("held-out rows" in reason for reason in trainer.unlearned)
    assert model.config.safety_training is None
    assert not model.assess(**inputs_of_a_row).trusted.any()


def test_a_checkpoint_in_the_middle_of_a_training_is_not_trusted(stage_1, model, inputs_of_a_row, tmp_path):
    record_training(model)
    stage_1(save_strategy="steps", save_steps=10).train()
    halfway = SafeLlavaForConditionalGeneration.from_pretrained(tmp_path / "run" / "checkpoint-10")
    assert not halfway.assess(**inputs_of_a_row).trusted.any()


def test_a_training_that_is_broken_off_leaves_an_untrusted_model(stage_1, model, monkeypatch):
    record_training(model)
    trainer = stage_1()
    monkeypatch.setattr(trainer, "training_step", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    assert model.explain_distrust() is not None


def test_without_a_single_label_a_head_is_not_trained(model, make_trainer, dataset):
    train_only_safety_modules(model)
    with pytest.raises(ValueError, match="safety_level"):
        make_trainer(train_dataset=dataset.select([2, 5]))


def test_too_few_held_out_rows_tell_nothing(model, make_trainer, dataset):
    train_only_safety_modules(model)
    trainer = make_trainer()
    trainer.train()
    assert "no held-out rows" in trainer.unlearned[0]
    trainer = make_trainer(held_out_dataset=dataset)
    trainer.train()
    assert any("only 3 held-out rows have none" in reason for reason in trainer.unlearned)


def test_a_training_that_leaves_verdicts_alone_keeps_their_record(model, make_trainer):
    model.requires_grad_(False)
    model.model.language_model.layers.requires_grad_(True)
    before = copy.deepcopy(model.config.safety_training)
    make_trainer().train()
    assert model.config.safety_training == before
    assert model.explain_distrust() is None


def test_training_the_vision_tower_ends_the_trust_in_an_old_record(model, make_trainer, dataset):
    model.requires_grad_(False)
    model.model.vision_tower.requires_grad_(True)
    make_trainer(train_dataset=dataset.select([0, 1])).train()
    assert model.explain_distrust() is not None


def test_the_recipe_saves_an_unlearned_head_and_ends_with_an_error(model, processor, many_rows, tmp_path):
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    many_rows.save_to_disk(tmp_path / "data")
    fields = {
        "stage": 1,
        "model_name_or_path": tmp_path / "base",
        "dataset_name": tmp_path / "data",
        "output_dir": tmp_path / "out",
        "max_steps": 1,
        "learning_rate": 0.0,
        "bf16": False,
        "gradient_checkpointing": False,
        "use_cpu": True,
        "report_to": "none",
    }
    (tmp_path / "stage1.yaml").write_text("\n".join(f"{name}: {value}" for name, value in fields.items()))
    (tmp_path / "stage1.yaml").open("a").write("\nmax_length: null\n")
    with pytest.raises(ValueError, match="has not learned"):
        main(["--config", str(tmp_path / "stage1.yaml")])
    loaded = SafeLlavaForConditionalGeneration.from_pretrained(tmp_path / "out")
    assert loaded.config.safety_training is None


def test_gathered_shards_give_the_record_of_the_whole_model(model):
    record = record_weights(model.config, model.state_dict())
    assert record["digests"] == record_training(model)["digests"]
    model.config.safety_training = record
    assert model.explain_distrust() is None


@pytest.mark.parametrize(("number", "kept_back"), [(50, 10), (400, 80), (500, 100), (4000, 200), (30000, 1000)])
def test_rows_are_set_aside_once_and_none_is_lost(number, kept_back):
    left, held_out = set_aside(Dataset.from_dict({"row": list(range(number))}), seed=3)
    assert len(held_out) == kept_back
    assert sorted([*left["row"], *held_out["row"]]) == list(range(number))


@pytest.mark.parametrize("balance_by", ["safety_level", "safety_type"])
def test_no_copy_of_a_row_that_is_set_aside_trains(balance_by):
    levels = [0] * 300 + [3] * 40
    rows = {"row": list(range(340)), "safety_level": levels, "safety_type": [4 if level else 6 for level in levels]}
    mixed = mix_safety_dataset(Dataset.from_dict(rows), None, "safety_type", 0)
    balanced = mix_safety_dataset(Dataset.from_dict({**rows, "safety_type": [4, 6] * 170}), None, balance_by, 0)
    for dataset in (mixed, balanced, Dataset.from_dict(rows).select([*range(340), *range(300, 340)] * 2)):
        left, held_out = set_aside(dataset, seed=3)
        assert not {*left["row"]} & {*held_out["row"]}
        assert len(held_out["row"]) == len({*held_out["row"]})
        assert {*left["row"], *held_out["row"]} == {*dataset["row"]}


def test_of_few_rows_none_is_set_aside():
    few = Dataset.from_dict({"row": list(range(49))})
    assert set_aside(few, seed=3) == (few, None)


def figures(labels: list[int], predictions: list[int]) -> dict:
    levels = measure_recall(zip(labels, predictions), "level")
    types = measure_recall([(label or 6, prediction) for label, prediction in zip(labels, predictions)], "type")
    return {"level": levels, "type": types}


def test_recall_and_false_alarms_are_told_for_each_class():
    assert measure_recall([(0, 0), (0, 3), (3, 3), (3, 3)], "level") == {
        "none": {"rows": 2, "recall": 0.5, "false_alarms": 0.0},
        "high": {"rows": 2, "recall": 1.0, "false_alarms": 0.5},
        "risky": {"rows": 2, "recall": 1.0, "false_alarms": 0.5},
    }


def test_rows_of_some_risk_are_told_from_none_and_from_no_other_class():
    assert measure_recall([(0, 0), (0, 3), (SOME_RISK, 1), (SOME_RISK, 0), (3, 3)], "level") == {
        "none": {"rows": 2, "recall": 0.5, "false_alarms": 0.0},
        "high": {"rows": 1, "recall": 1.0, "false_alarms": 0.5},
        "risky": {"rows": 3, "recall": 0.6667, "false_alarms": 0.5},
    }


@pytest.mark.parametrize(("found", "has_learned"), [(2, True), (0, False)])
def test_a_head_that_was_shown_risks_alone_must_find_them(found, has_learned):
    levels = measure_recall([(0, 0)] * 20 + [(SOME_RISK, found)] * 20, "level")
    types = measure_recall([(6, 6)] * 20 + [(4, 4)] * 20, "type")
    assert (not find_unlearned({"level": levels, "type": types})) == has_learned


@pytest.mark.parametrize("constant", range(4))
def test_a_head_that_says_one_thing_only_has_learned_nothing(constant):
    labels = [0] * 20 + [1] * 20 + [2] * 20 + [3] * 20
    assert find_unlearned(figures(labels, [constant] * 80))


def test_a_head_that_guesses_has_learned_nothing():
    draw = torch.Generator().manual_seed(0)
    labels, guesses = (torch.randint(0, 4, (4000,), generator=draw).tolist() for _ in range(2))
    reasons = find_unlearned(figures(labels, guesses))
    assert sum(reason.startswith("the level") for reason in reasons) == 5  # four levels, and any risk


def test_one_class_that_is_missed_is_enough():
    levels = measure_recall([(0, 0)] * 20 + [(1, 1)] * 20 + [(2, 3)] * 20 + [(3, 3)] * 20, "level")
    types = measure_recall([(6, 6)] * 20 + [(2, 2)] * 60, "type")
    assert find_unlearned({"level": levels, "type": types}) == [
        "the level 'medium' is found in 0% of its 20 held-out rows and in 0% of the others"
    ]


def test_streams_are_not_counted(dataset):
    assert count_labels(dataset.to_iterable_dataset()) is None
    assert count_labels(dataset)["type"]["privacy"] == 3
