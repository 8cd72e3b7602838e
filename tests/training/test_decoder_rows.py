"""Rows without an answer to learn cost no pass of the language model, and change nothing that is learned."""

import pytest
import torch
from peft import LoraConfig

from safe_llava.training import LANGUAGE_MODEL_LINEAR_LAYERS, train_only_safety_modules


LORA = LoraConfig(r=4, target_modules=LANGUAGE_MODEL_LINEAR_LAYERS, init_lora_weights=False)
ANSWERED = [[0, 1, 2], [0], [2], [0, 2], []]


def take_gradients(model):
    return {name: param.grad.clone() for name, param in model.named_parameters() if param.grad is not None}


@pytest.fixture(params=ANSWERED, ids=str)
def answered(request):
    return request.param


@pytest.fixture(params=[1, 2], ids=["stage 1", "stage 2"])
def trainer(request, make_trainer, model):
    if request.param == 2:
        return make_trainer(peft_config=LORA)
    train_only_safety_modules(model)
    return make_trainer()


@pytest.fixture
def batch(trainer, answered):
    batch = trainer.data_collator([trainer.train_dataset[index] for index in range(3)])
    batch["labels"][[row for row in range(3) if row not in answered]] = -100
    return batch


@pytest.fixture
def rows_seen(trainer):
    """The number of rows of each call of the decoder layers."""
    seen = []
    trainer.base_model.model.language_model.layers[0].register_forward_pre_hook(
        lambda module, args: seen.append(len(args[0]))
    )
    return seen


def test_the_language_model_runs_over_answered_rows_alone(trainer, batch, answered, rows_seen):
    trainer.compute_loss(trainer.model, batch)
    assert rows_seen == [len(answered) or 1]


def test_loss_and_gradients_are_those_of_all_rows(trainer, batch, answered):
    loss = trainer.compute_loss(trainer.model, dict(batch))
    loss.backward()
    found = take_gradients(trainer.model)
    trainer.model.zero_grad()
    whole = trainer.model(**batch)
    expected = whole.loss if answered else trainer.base_model.config.safety_loss_coef * whole.safety_loss
    torch.testing.assert_close(loss, expected)
    if not expected.requires_grad:  # Stage 2 trains nothing that the head reads.
        assert not any(gradient.any() for gradient in found.values())
        return
    expected.backward()
    wanted = take_gradients(trainer.model)
    assert wanted
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("answered", [[0], [2], [0, 2]], indirect=True, ids=str)
def test_whatever_an_unanswered_row_asks_leaves_the_loss_of_the_answers(trainer, batch, answered):
    """The others' hidden states are never scored."""
    losses = []
    for token in (5, 6):
        batch["input_ids"][[row for row in range(3) if row not in answered], -1] = token
        output = trainer.model(**batch, fused_lm_head=True)
        losses.append(output.loss)
    assert losses[0] == losses[1]
