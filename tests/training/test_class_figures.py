"""Evaluation: each set under its own name, each class with its recall, and plain words for a head that collapsed."""

import logging

import pytest
import torch
from datasets import concatenate_datasets

from safe_llava.training import train_only_safety_modules


pytestmark = pytest.mark.own_logic


@pytest.fixture
def collapse(model):
    """Makes the head find one level or type everywhere."""

    def make(name, index):
        classifier = getattr(model.model.safety_modules.head, f"{name}_classifier")
        torch.nn.init.zeros_(classifier.weight)
        with torch.no_grad():
            classifier.bias.copy_(torch.eye(len(classifier.bias))[index] * 99)

    return make


@pytest.fixture
def many(dataset):
    """16 clean rows and 8 risky ones."""
    return dataset.select([0] * 16), dataset.select([1] * 8)


@pytest.fixture
def both(many):
    return concatenate_datasets(many)


def test_each_evaluation_set_has_its_own_figures(make_trainer, dataset):
    parts = {"clean": dataset.select([0, 6]), "risky": dataset.select([1, 3])}
    together = make_trainer(eval_dataset=parts)
    metrics = together.evaluate()
    for name, part in parts.items():
        alone = make_trainer(eval_dataset=part).evaluate()
        for key in ("level_loss", "level_accuracy", "type_accuracy", "safety_loss", "mean_token_accuracy", "entropy"):
            assert metrics[f"eval_{name}_{key}"] == pytest.approx(alone[f"eval_{key}"]), (name, key)
    assert not {"eval_level_loss", "eval_entropy"} & metrics.keys()


def test_each_evaluation_set_is_logged_under_its_own_name(make_trainer, dataset):
    parts = {"clean": dataset.select([0, 6]), "risky": dataset.select([1, 3])}
    trainer = make_trainer(eval_dataset=parts, eval_strategy="steps", eval_steps=1)
    trainer.train()
    logged = [{key for key in entry if "level_loss" in key} for entry in trainer.state.log_history]
    assert [keys for keys in logged if keys] == [{"level_loss"}, {"eval_clean_level_loss"}, {"eval_risky_level_loss"}]


def test_a_prediction_does_not_mix_into_the_next_evaluation(make_trainer, dataset):
    trainer = make_trainer(eval_dataset=dataset.select([0]), prediction_loss_only=True)
    expected = trainer.evaluate()
    predicted = trainer.predict(dataset.select([1]))
    assert "test_level_loss" in predicted.metrics
    assert trainer.evaluate()["eval_level_loss"] == expected["eval_level_loss"]


def test_the_recall_of_each_class_that_occurs_is_among_the_figures(make_trainer, collapse, both):
    collapse("level", 3)
    collapse("type", 6)
    metrics = make_trainer(eval_dataset=both).evaluate()
    recalls = {key: value for key, value in metrics.items() if "recall" in key}
    assert recalls == {
        "eval_level_recall_none": 0.0,
        "eval_level_recall_high": 1.0,
        "eval_type_recall_privacy": 0.0,
        "eval_type_recall_safe": 1.0,
    }


@pytest.mark.parametrize(("name", "index", "said"), [("level", 0, "'none'"), ("type", 6, "'safe'")])
def test_a_head_that_finds_one_class_only_is_said_so(make_trainer, collapse, both, caplog, name, index, said):
    collapse(name, index)
    with caplog.at_level(logging.WARNING):
        make_trainer(eval_dataset=both).evaluate()
    assert f"collapsed: in the 24 labelled rows of `eval` it found the {name} {said}" in caplog.text


def test_a_run_that_ends_with_a_collapsed_head_says_so(make_trainer, model, collapse, both, caplog):
    train_only_safety_modules(model)
    collapse("level", 0)
    with caplog.at_level(logging.WARNING):
        make_trainer(train_dataset=both, max_steps=12, learning_rate=0.0).train()
    assert "collapsed: in the last 24 rows of training" in caplog.text


def test_nothing_is_said_where_one_class_is_all_there_is(make_trainer, collapse, many, caplog):
    collapse("level", 0)
    collapse("type", 6)
    with caplog.at_level(logging.WARNING):
        make_trainer(eval_dataset=many[0]).evaluate()
    assert "collapsed" not in caplog.text
