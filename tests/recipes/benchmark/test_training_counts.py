"""
What a training step costs, in counts that no clock can change: passes of the vision tower, runs of decoder layers,
rows of logits, FLOPs and tensors kept for backward. Each fails when a step begins to do more.
"""

import copy
from collections import Counter

import pytest
from peft import LoraConfig, get_peft_model
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode
from transformers import TrainerControl
from trl.trainer import utils
from trl.trainer.utils import add_fused_lm_head

from safe_llava.training import (
    LANGUAGE_MODEL_LINEAR_LAYERS,
    SafeDataCollator,
    SpareLastLayers,
    train_only_safety_modules,
)
from safe_llava.training.safety_losses import add_safety_losses


ANSWER = "A red square ."


@pytest.fixture
def batch(tiny_processor, make_image):
    rows = []
    for index in range(3):
        content = [{"type": "image"}, {"type": "text", "text": "Which colour ?"}]
        answer = {"role": "assistant", "content": [{"type": "text", "text": ANSWER * (index + 1)}]}
        rows.append({"messages": [{"role": "user", "content": content}, answer], "images": [make_image(index)]})
        rows[-1].update(safety_level=0, safety_type=6)
    return SafeDataCollator(tiny_processor)(rows)


@pytest.fixture(params=[1, 2], ids=["stage 1", "stage 2"])
def trained(request, tiny_safe_llava):
    """The tiny model as each stage trains it."""
    model = copy.deepcopy(tiny_safe_llava).train()
    add_fused_lm_head(model)
    add_safety_losses(model)
    if request.param == 2:
        return get_peft_model(model, LoraConfig(r=4, target_modules=LANGUAGE_MODEL_LINEAR_LAYERS))
    train_only_safety_modules(model)
    return model


def checkpoint(trained, num_spared=0):
    """As the trainer does; every embedding then requires grad, the tower's too."""
    trained.gradient_checkpointing_enable({"use_reentrant": False})
    SpareLastLayers(num_spared).on_train_begin(None, None, TrainerControl(), trained)


def step(trained, batch):
    outputs = trained(**batch, fused_lm_head=True)
    (outputs.loss + outputs.level_loss + outputs.type_loss).backward()
    return outputs


def base_of(trained):
    return trained.get_base_model() if hasattr(trained, "get_base_model") else trained


@pytest.fixture
def count_calls(trained):
    """Counts runs of the tower and of decoder layers; recomputation included."""
    calls = Counter()

    def count(name, module):
        # `forward` is what checkpointing runs again, not `__call__`.
        attention = getattr(module, "self_attn", module)
        attention.register_forward_pre_hook(lambda module, args: calls.update([name]))

    model = base_of(trained).model
    count("tower", model.vision_tower.embeddings)
    for layer in model.vision_tower.encoder.layers:
        count("tower layers", layer)
    for layer in model.language_model.layers:
        count("decoder layers", layer)
    return calls


@pytest.mark.parametrize(
    ("num_spared", "decoder_layers"),
    [(None, 2), (0, 4), (1, 3), (9, 2)],
    ids=["no checkpointing", "all checkpointed", "one spared", "all spared"],
)
def test_a_step_runs_the_tower_once_and_no_spared_layer_twice(trained, batch, count_calls, num_spared, decoder_layers):
    if num_spared is not None:
        checkpoint(trained, num_spared)
    step(trained, batch)
    assert count_calls == {"tower": 1, "tower layers": 3, "decoder layers": decoder_layers}


@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_the_tower_and_its_projector_keep_nothing_for_backward(trained, batch, is_checkpointed):
    if is_checkpointed:
        checkpoint(trained)
    model = base_of(trained).model
    inside, kept = [], []
    for module in (model.vision_tower, model.multi_modal_projector):
        module.register_forward_pre_hook(lambda *args: inside.append(True))
        module.register_forward_hook(lambda *args: inside.clear())

    def keep(tensor):
        if inside:
            kept.append(tensor.shape)
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        step(trained, batch)
    assert kept == []


@pytest.mark.parametrize("trained", [1], indirect=True, ids=["stage 1"])
def test_checkpointing_spares_the_safety_modules(trained, batch):
    checkpoint(trained)
    runs = []
    for module in (trained.model.safety_modules.projector.mlp[0], trained.model.safety_modules.head.key_layer):
        module.register_forward_pre_hook(lambda module, args: runs.append(module))
    step(trained, batch)
    assert len(runs) == 2


def test_logits_are_computed_for_the_answers_tokens_alone(trained, batch, monkeypatch):
    rows = []
    scored = utils._ChunkedLogProbFunction

    class Counted:
        @staticmethod
        def apply(hidden_states, *args):
            rows.append(len(hidden_states))
            return scored.apply(hidden_states, *args)

    monkeypatch.setattr(utils, "_ChunkedLogProbFunction", Counted)
    step(trained, batch)
    assert rows == [int((batch["labels"] != -100).sum())]


@pytest.mark.parametrize("is_checkpointed", [False, True])
def test_the_flops_of_a_step_do_not_grow(trained, batch, is_checkpointed):
    if is_checkpointed:
        checkpoint(trained)
    with FlopCounterMode(display=False) as counter:
        step(trained, batch)
    measured_megaflops = {(1, False): 35.9, (1, True): 42.6, (2, False): 30.8, (2, True): 42.9}
    stage = 1 if trained is base_of(trained) else 2
    assert counter.get_total_flops() <= 1e6 * measured_megaflops[stage, is_checkpointed]
