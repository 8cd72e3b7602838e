"""Training on rows of which only a set of possible classes is known."""

import pytest
import torch
from datasets import Dataset, IterableDataset, concatenate_datasets

from safe_llava.data.label_parsing import parse_labels
from safe_llava.models.safety_loss import has_label, safety_row_losses
from safe_llava.training import train_only_safety_modules
from safe_llava.training.learning_check import count_labels


pytestmark = pytest.mark.own_logic

# Of the fixture's eight rows: what is said of the level, and of the type.
LABELS = [
    ("none", "safe"),
    ("risky", "privacy"),
    (None, None),
    (["low", "high"], ["privacy", "fairness"]),
    (["none", "low"], None),
    ("high", "risky"),
    ("none", "safe"),
    ("risky", None),
]


@pytest.fixture
def some_risk(dataset):
    """The eight rows, with those labels."""
    labels = [parse_labels({"safety_level": level, "safety_type": kind})[0] for level, kind in LABELS]
    dataset = dataset.remove_columns(["safety_level", "safety_type"])
    for name in labels[0]:
        dataset = dataset.add_column(name, [row[name] for row in labels])
    return dataset


def batch_of(trainer, indices):
    return trainer.data_collator([trainer.train_dataset[index] for index in indices])


def test_a_batch_holds_masks_where_one_of_its_rows_has_a_set(make_trainer, some_risk):
    batch = batch_of(make_trainer(train_dataset=some_risk), [0, 1, 2])
    assert batch["safety_level"].tolist() == [[True, *[False] * 3], [False, *[True] * 3], [False] * 4]
    assert batch["safety_type"].tolist() == [6, 4, -100]


def test_a_batch_without_a_set_holds_class_indices(make_trainer, some_risk):
    batch = batch_of(make_trainer(train_dataset=some_risk), [0, 2, 6])
    assert batch["safety_level"].tolist() == [0, -100, 0]
    assert batch["safety_type"].tolist() == [6, -100, 6]


def test_the_loss_and_its_gradients_are_those_of_the_models_own_forward(make_trainer, model, some_risk):
    train_only_safety_modules(model)
    trainer = make_trainer(train_dataset=some_risk)
    batch = batch_of(trainer, range(8))
    grads = []
    for make_loss in (lambda: trainer.compute_loss(model, dict(batch)), lambda: model(**batch).loss):
        model.zero_grad()
        loss = make_loss()
        loss.backward()
        grads.append([loss, *(weight.grad.clone() for weight in model.model.safety_modules.head.parameters())])
    for first, second in zip(*grads):
        torch.testing.assert_close(first, second)


@pytest.mark.parametrize("batch_size", [1, 2, 4])
def test_accumulated_steps_train_like_one_large_batch(make_trainer, model, some_risk, batch_size):
    """Some of the small batches have sets and some have not."""
    train_only_safety_modules(model)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    results = []
    for size in (8, batch_size):
        model.load_state_dict(start)
        trainer = make_trainer(
            train_dataset=some_risk,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=8 // size,
            optim="sgd",
            max_grad_norm=0,
        )
        trainer.train()
        results.append((trainer.state.log_history[0], {k: v.clone() for k, v in model.state_dict().items()}))
    (large_log, large), (small_log, small) = results
    torch.testing.assert_close(small, large)
    for name in ("level_loss", "type_loss", "level_accuracy", "level_set_accuracy", "type_set_accuracy"):
        assert small_log[name] == pytest.approx(large_log[name], rel=1e-4), name


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_sets_are_scored_apart_from_known_classes_and_each_with_its_rows(make_trainer, model, some_risk, batch_size):
    trainer = make_trainer(train_dataset=some_risk, eval_dataset=some_risk, per_device_eval_batch_size=batch_size)
    metrics = trainer.evaluate()
    with torch.no_grad():
        outputs = model.eval()(**batch_of(trainer, range(8)))
    for name in ("level", "type"):
        found = outputs[f"{name}_logits"].argmax(dim=1).tolist()
        single = [row[f"safety_{name}"] for row in some_risk]
        sets = [row[f"possible_{name}s"] for row in some_risk]
        right = [prediction == label for prediction, label in zip(found, single) if label != -100]
        possible = [prediction in classes for prediction, classes in zip(found, sets) if classes]
        assert metrics[f"eval_{name}_accuracy"] == pytest.approx(sum(right) / len(right))
        assert metrics[f"eval_{name}_set_accuracy"] == pytest.approx(sum(possible) / len(possible))
        assert metrics[f"eval_{name}_rows"] == len(right)
        assert metrics[f"eval_{name}_set_rows"] == len(possible)
        labels = batch_of(trainer, range(8))[f"safety_{name}"]
        losses = safety_row_losses(outputs[f"{name}_logits"], labels)[has_label(labels)]
        assert metrics[f"eval_{name}_loss"] == pytest.approx(losses.mean().item(), rel=1e-4)


def test_the_rows_that_were_seen_are_counted_by_class_and_by_set(some_risk):
    levels = {name: count for name, count in count_labels(some_risk)["level"].items() if count}
    assert levels == {"none": 2, "low or medium or high": 2, "low or high": 1, "none or low": 1, "high": 1}


def test_the_held_out_check_counts_rows_of_which_some_risk_is_known(make_trainer, model, some_risk):
    """Of the levels "risky", "low or high", "high" and "risky", not of "none or low"."""
    train_only_safety_modules(model)
    trainer = make_trainer(train_dataset=some_risk, held_out_dataset=some_risk)
    trainer.train()
    assert any("only 4 held-out rows have some risk as their level" in reason for reason in trainer.unlearned)


def test_a_head_that_was_taught_risks_without_levels_is_trusted_and_calls_them_high(make_trainer, model, some_risk):
    train_only_safety_modules(model)
    rows = concatenate_datasets([some_risk.select([0, 1])] * 12)
    trainer = make_trainer(
        train_dataset=rows, held_out_dataset=rows, max_steps=60, learning_rate=1e-2, per_device_train_batch_size=8
    )
    trainer.train()
    assert trainer.unlearned == []
    batch = batch_of(trainer, [0, 1])
    verdict = model.eval().assess(**{name: batch[name] for name in ("input_ids", "attention_mask", "pixel_values")})
    assert verdict.trusted.all()
    assert verdict.levels == ["none", "high"]


def test_rows_that_know_only_sets_are_labelled(make_trainer, model, some_risk):
    """A public set that says "unsafe" of every row trains a head."""
    train_only_safety_modules(model)
    trainer = make_trainer(train_dataset=some_risk.select([7, 7]))
    trainer.train()
    assert trainer.state.log_history[0]["level_loss"] > 0
    assert "level_accuracy" not in trainer.state.log_history[0]


def test_a_head_that_sees_some_risk_learns_that_there_is_some(make_trainer, model, some_risk):
    train_only_safety_modules(model)
    rows = some_risk.select([0, 1, 6, 7])
    trainer = make_trainer(train_dataset=rows, max_steps=60, learning_rate=3e-3, per_device_train_batch_size=4)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "level_loss" in entry]
    assert logs[-1]["level_loss"] < 0.2 * logs[0]["level_loss"]
    assert logs[-1]["level_set_accuracy"] == logs[-1]["level_accuracy"] == 1.0


def test_labels_of_several_names_train_as_they_come(make_trainer, model, rows):
    """Without the loader: lists in the columns of labels, in a stream."""
    for row, (level, kind) in zip(rows, LABELS):
        row.update(safety_level=level, safety_type=kind)
    trainer = make_trainer(train_dataset=IterableDataset.from_generator(lambda: iter(rows)), max_steps=2)
    trainer.train()
    assert trainer.state.log_history[0]["level_loss"] > 0


def test_labels_that_contradict_each_other_are_refused(make_trainer, rows):
    rows[0].update(safety_level=1, safety_type=6)
    with pytest.raises(ValueError, match="level 'low' contradicts type 'safe'"):
        make_trainer(train_dataset=Dataset.from_list(rows)).train()
