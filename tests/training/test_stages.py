"""Exactly which parameters each stage moves, and what becomes of stage 2's adapter."""

import re

import pytest
import torch
from peft import LoraConfig, PeftModel
from transformers import AutoModel, AutoModelForImageTextToText

from safe_llava.training import LANGUAGE_MODEL_LINEAR_LAYERS, merge_adapter, train_only_safety_modules


STAGE_1_PARAMETERS = {
    *(f"model.safety_modules.tokens.{name}" for name in ("head_tokens", "prompt_tokens")),
    *(
        f"model.safety_modules.head.{layer}.{kind}"
        for layer in ("query_layer", "key_layer", "value_layer", "output_layer", "level_classifier", "type_classifier")
        for kind in ("weight", "bias")
    ),
    *(
        f"model.safety_modules.head.{norm}.{kind}"
        for norm in ("query_norm", "key_norm")
        for kind in ("weight", "bias")
    ),
    "model.safety_modules.head.token_scores.weight",
}
STAGE_2_PARAMETERS = {
    f"base_model.model.model.language_model.layers.{layer}.{linear}.lora_{matrix}.default.weight"
    for layer in (0, 1)
    for linear in (
        *(f"self_attn.{name}_proj" for name in "qkvo"),
        *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
    )
    for matrix in "AB"
}


@pytest.fixture
def lora():
    return LoraConfig(r=4, lora_alpha=8, target_modules=LANGUAGE_MODEL_LINEAR_LAYERS, init_lora_weights=False)


def moved_parameters(trainer):
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    return {name for name, value in trainer.model.named_parameters() if not torch.equal(value, before[name])}


def test_stage_1_moves_the_safety_modules_and_nothing_else(make_trainer, model):
    train_only_safety_modules(model)
    projector = {name for name, _ in model.named_parameters() if name.startswith("model.safety_modules.projector.")}
    # A bias in front of a softmax over keys shifts all scores alike, so its gradient is zero.
    unmoved = {"model.safety_modules.head.key_layer.bias"}
    moved = moved_parameters(make_trainer(max_steps=2))
    assert moved | unmoved == STAGE_1_PARAMETERS | projector
    assert projector


def test_stage_2_moves_lora_on_the_language_model_and_nothing_else(make_trainer, lora):
    assert moved_parameters(make_trainer(peft_config=lora, max_steps=2)) == STAGE_2_PARAMETERS


def test_stage_1_trains_in_float32_what_it_trains_and_keeps_the_rest(model):
    model.to(torch.bfloat16)
    train_only_safety_modules(model)
    assert {param.dtype for param in model.parameters() if param.requires_grad} == {torch.float32}
    assert {param.dtype for param in model.parameters() if not param.requires_grad} == {torch.bfloat16}


def test_stage_1_trains_a_bfloat16_model_under_autocast(make_trainer, model):
    model.to(torch.bfloat16)
    train_only_safety_modules(model)
    trainer = make_trainer(bf16=True, max_steps=2)
    trainer.train()
    assert all(torch.tensor(entry["grad_norm"]) > 0 for entry in trainer.state.log_history[:2])


@pytest.fixture
def trained_adapter(make_trainer, model, processor, lora, tmp_path):
    """The folder of an adapter trained on a saved base, and the model in memory that it was trained in."""
    model.save_pretrained(tmp_path / "base")
    trainer = make_trainer(
        model=AutoModelForImageTextToText.from_pretrained(tmp_path / "base"), peft_config=lora, max_steps=2
    )
    trainer.train()
    trainer.save_model(tmp_path / "adapter")
    return tmp_path / "adapter", trainer


def logits_of(model, trainer):
    batch = trainer.data_collator([trainer.train_dataset[0]])
    with torch.no_grad():
        return model.eval()(**batch).logits


def test_a_kept_adapter_loads_through_automodel_and_peft(trained_adapter, tmp_path):
    adapter, trainer = trained_adapter
    expected = logits_of(trainer.model, trainer)
    base = AutoModelForImageTextToText.from_pretrained(tmp_path / "base")
    assert not torch.allclose(logits_of(base, trainer), expected)
    for model in (AutoModel.from_pretrained(adapter), PeftModel.from_pretrained(base, adapter)):
        torch.testing.assert_close(logits_of(model, trainer), expected)


def test_a_merged_adapter_is_a_plain_checkpoint_with_the_same_logits(trained_adapter, tmp_path):
    adapter, trainer = trained_adapter
    merge_adapter(adapter, tmp_path / "merged")
    merged = AutoModel.from_pretrained(tmp_path / "merged")
    assert not any(re.search("lora", name) for name, _ in merged.named_parameters())
    torch.testing.assert_close(logits_of(merged, trainer), logits_of(trainer.model, trainer), rtol=1e-4, atol=1e-4)


def test_a_merged_checkpoint_carries_processor_and_policy(trained_adapter, tmp_path, model):
    adapter, _ = trained_adapter
    merge_adapter(adapter, tmp_path / "merged")
    merged = AutoModel.from_pretrained(tmp_path / "merged")
    assert merged.config.safety_policy == model.config.safety_policy
    assert (tmp_path / "merged" / "processor_config.json").is_file()
