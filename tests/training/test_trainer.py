"""The trainer's loss, gradients, metrics and refusals."""

import pytest
import torch
from datasets import Dataset, Image, IterableDataset
from peft import LoraConfig
from transformers import TrainerCallback

from safe_llava.data.encoded_images import keep_images_encoded
from safe_llava.training import LANGUAGE_MODEL_LINEAR_LAYERS, train_only_safety_modules


LORA = {"r": 4, "lora_alpha": 8, "target_modules": LANGUAGE_MODEL_LINEAR_LAYERS, "init_lora_weights": False}
METRICS = ("safety_loss", "level_loss", "type_loss", "level_accuracy", "type_accuracy")


def gradients(model):
    return {name: param.grad.clone() for name, param in model.named_parameters() if param.grad is not None}


def batch_of(trainer, indices):
    return trainer.data_collator([trainer.train_dataset[index] for index in indices])


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], msg=lambda text, name=name: f"{name}: {text}")


def test_the_loss_is_that_of_the_models_own_forward(make_trainer, model):
    trainer = make_trainer()
    batch = batch_of(trainer, [0, 1, 2])
    with torch.no_grad():
        expected = model(**batch).loss
        torch.testing.assert_close(trainer.compute_loss(model, dict(batch)), expected)


@pytest.mark.parametrize("gradient_checkpointing", [False, True])
def test_stage_1_gradients_are_those_of_the_models_own_forward(make_trainer, model, gradient_checkpointing):
    train_only_safety_modules(model)
    trainer = make_trainer(gradient_checkpointing=gradient_checkpointing)
    batch = batch_of(trainer, [0, 1, 2])
    trainer.compute_loss(model, dict(batch)).backward()
    fused = gradients(model)
    model.zero_grad()
    model(**batch).loss.backward()
    assert_same(fused, gradients(model))
    assert fused["model.safety_modules.head.level_classifier.weight"].abs().sum() > 0
    assert fused["model.safety_modules.head.type_classifier.weight"].abs().sum() > 0


def test_lora_gradients_are_those_of_the_models_own_forward(make_trainer):
    trainer = make_trainer(peft_config=LoraConfig(**LORA))
    batch = batch_of(trainer, [0, 1, 2])
    trainer.compute_loss(trainer.model, dict(batch)).backward()
    fused = gradients(trainer.model)
    trainer.model.zero_grad()
    trainer.model(**batch).loss.backward()
    assert fused
    assert_same(fused, gradients(trainer.model))


def test_the_head_never_reads_the_answer(make_trainer, model):
    trainer = make_trainer()
    batch = batch_of(trainer, [0])
    loss = trainer.compute_loss(model, dict(batch))
    other_answer = torch.where(batch["labels"] == -100, batch["input_ids"], 7)
    logits = [model(**{**batch, "input_ids": ids}).level_logits for ids in (batch["input_ids"], other_answer)]
    assert torch.equal(*logits)
    fused = trainer.model(**{**batch, "input_ids": other_answer}, fused_lm_head=True)
    assert torch.equal(fused.level_logits, logits[0])
    assert loss.isfinite()


@pytest.mark.parametrize("accumulation", [2, 4])
def test_accumulated_steps_train_like_one_large_batch(make_trainer, model, accumulation, dataset):
    train_only_safety_modules(model)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    results = []
    for batch_size, steps in ((8, 1), (8 // accumulation, accumulation)):
        model.load_state_dict(start)
        trainer = make_trainer(
            per_device_train_batch_size=batch_size, gradient_accumulation_steps=steps, optim="sgd", max_grad_norm=0
        )
        trainer.train()
        results.append((trainer.state.log_history, {k: v.clone() for k, v in model.state_dict().items()}))
    (large_log, large), (small_log, small) = results
    assert_same(large, small)
    for name in ("loss", *METRICS):
        assert small_log[0][name] == pytest.approx(large_log[0][name], rel=1e-4)


def test_training_logs_both_losses_and_both_accuracies_beside_trls_metrics(make_trainer, model):
    train_only_safety_modules(model)
    trainer = make_trainer()
    trainer.train()
    assert {*METRICS, "loss", "grad_norm", "mean_token_accuracy", "entropy"} <= trainer.state.log_history[0].keys()


def test_both_safety_losses_fall(make_trainer, model):
    train_only_safety_modules(model)
    trainer = make_trainer(max_steps=60, learning_rate=3e-3, per_device_train_batch_size=8)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "level_loss" in entry]
    assert logs[-1]["level_loss"] < 0.2 * logs[0]["level_loss"]
    assert logs[-1]["type_loss"] < 0.2 * logs[0]["type_loss"]
    assert logs[-1]["level_accuracy"] == 1.0


def test_evaluation_averages_over_all_labelled_rows_whatever_the_batches(make_trainer, model, dataset):
    trainer = make_trainer(eval_dataset=dataset)
    metrics = trainer.evaluate()
    with torch.no_grad():
        outputs = model.eval()(**batch_of(trainer, range(8)))
    labels = torch.tensor(dataset["safety_level"][:])
    labelled = labels != -100
    correct = (outputs.level_logits.argmax(dim=-1) == labels)[labelled].float().mean()
    assert metrics["eval_level_accuracy"] == pytest.approx(correct.item())
    assert metrics["eval_level_loss"] == pytest.approx(outputs.level_loss.item(), rel=1e-4)
    assert metrics["eval_safety_loss"] == pytest.approx(outputs.safety_loss.item(), rel=1e-4)
    assert set(metrics) >= {f"eval_{name}" for name in (*METRICS, "loss", "mean_token_accuracy")}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("classifier", ["level", "type"])
def test_a_safety_loss_that_is_not_finite_stops_the_run_and_names_the_step(make_trainer, model, value, classifier):
    trainer = make_trainer(max_steps=3)

    class Break(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 2:
                head = model.model.safety_modules.head
                torch.nn.init.constant_(getattr(head, f"{classifier}_classifier").bias, value)

    trainer.add_callback(Break())
    with pytest.raises(ValueError, match=f"`{classifier}_loss` is not finite at step 2"):
        trainer.train()


def test_unlabelled_rows_train_the_language_model_alone(make_trainer, model, dataset):
    unlabelled = dataset.select([2, 5])
    model.model.safety_modules.requires_grad_(False)
    trainer = make_trainer(train_dataset=unlabelled)
    trainer.train()
    assert "level_accuracy" not in trainer.state.log_history[0]
    batch = batch_of(trainer, [0, 1])
    torch.testing.assert_close(trainer.compute_loss(model, dict(batch)), model(**batch).lm_loss)


def test_a_batch_without_answers_still_trains_the_head(make_trainer, model):
    train_only_safety_modules(model)
    trainer = make_trainer()
    batch = batch_of(trainer, [0, 1])
    batch["labels"] = torch.full_like(batch["labels"], -100)
    loss = trainer.compute_loss(model, dict(batch))
    loss.backward()
    torch.testing.assert_close(loss, model.config.safety_loss_coef * model(**batch).safety_loss)
    assert all(param.grad is not None for param in model.model.safety_modules.tokens.parameters())


def test_a_model_without_a_head_trains_its_language_model(make_trainer, model, dataset):
    model.model.safety_modules.head = model.model.safety_modules.projector = None
    trainer = make_trainer()
    trainer.train()
    assert trainer.state.log_history[0]["loss"] > 0
    assert "level_loss" not in trainer.state.log_history[0]


def stream(rows):
    return IterableDataset.from_generator(lambda: iter(rows))


def with_one_image(rows):
    return [
        {**{name: value for name, value in row.items() if name != "images"}, "image": row["images"][0]} for row in rows
    ]


FORMS = {
    "a stream without declared features": lambda dataset: stream(list(dataset)),
    "a stream with features": lambda dataset: dataset.to_iterable_dataset(),
    "a stream of encoded images": lambda dataset: stream(list(keep_images_encoded(dataset))),
    "a column image": lambda dataset: Dataset.from_list(with_one_image(dataset)).cast_column("image", Image()),
    "a stream with a column image": lambda dataset: stream(with_one_image(dataset)),
}


@pytest.mark.parametrize("form", FORMS)
def test_rows_train_alike_in_whatever_form_they_come(make_trainer, model, dataset, form):
    start = {name: value.clone() for name, value in model.state_dict().items()}
    logs = []
    for data in (dataset, FORMS[form](dataset)):
        model.load_state_dict(start)
        options = {"max_steps": 2, "train_sampling_strategy": "sequential", "per_device_eval_batch_size": 4}
        trainer = make_trainer(train_dataset=data, eval_dataset=data, **options)
        metrics = trainer.evaluate()
        trainer.train()
        logs.append([*trainer.state.log_history[1:3], metrics])
    for first, second in zip(*logs):
        for name in ("loss", "eval_loss", "level_loss", "eval_type_loss", "eval_level_accuracy", "num_tokens"):
            assert second.get(name) == first.get(name), name
