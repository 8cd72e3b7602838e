"""Whatever trains, a run goes on from its checkpoints and ends with its best one bit for bit, or not at all."""

import logging

import pytest
import torch
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file
from transformers import AutoModel, AutoModelForImageClassification, TrainerCallback

from safe_llava.training import LANGUAGE_MODEL_LINEAR_LAYERS, train_only_safety_modules


EVERY_STEP = {"max_steps": 4, "save_strategy": "steps", "save_steps": 2, "per_device_train_batch_size": 3}
LORA = {"r": 4, "lora_dropout": 0.1, "target_modules": LANGUAGE_MODEL_LINEAR_LAYERS, "init_lora_weights": False}


def train_parts(*parts):
    def choose(model):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.startswith(parts))

    return choose


TRAINED = {
    "stage 1": (train_only_safety_modules, None),
    "lora": (lambda model: None, LORA),
    "language model": (train_parts("model.language_model.", "lm_head."), None),
    "tower and projector": (train_parts("model.vision_tower.", "model.multi_modal_projector."), None),
    "everything": (train_parts(""), None),
}


class StateKeeper(TrainerCallback):
    """The weights as they were at each save."""

    def __init__(self):
        self.states = {}

    def on_save(self, args, state, control, model, **kwargs):
        self.states[state.global_step] = copy_of(model)


def copy_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(value, second[name]) for name, value in first.items())


@pytest.fixture(params=TRAINED)
def start(request, make_trainer, model):
    """`start(**options)`: a trainer of the untouched model, of which one part trains."""
    choose, lora = TRAINED[request.param]
    weights = copy_of(model)
    trainers = []

    def start(**options):
        if trainers and isinstance(trainers[-1].model, PeftModel):
            trainers[-1].model.unload()
        model.load_state_dict(weights)
        choose(model)
        trainers.append(make_trainer(peft_config=LoraConfig(**lora) if lora else None, **options))
        return trainers[-1]

    return start


def test_a_resumed_run_equals_an_unbroken_one(start, tmp_path, caplog):
    unbroken = start(**EVERY_STEP)
    unbroken.train()
    expected, expected_log = copy_of(unbroken.model), unbroken.state.log_history[-2]
    del expected_log["num_tokens"]  # trl counts from the start of the process
    resumed = start(**EVERY_STEP)
    assert not same(copy_of(resumed.model), expected)
    with caplog.at_level(logging.WARNING):
        resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    assert same(copy_of(resumed.model), expected)
    assert {name: resumed.state.log_history[-2].get(name) for name in expected_log} == expected_log
    assert "keys in the checkpoint" not in caplog.text


@pytest.mark.parametrize("lost", ["optimizer.pt", "scheduler.pt"])
def test_a_checkpoint_without_its_optimizer_is_refused(start, tmp_path, lost):
    start(**EVERY_STEP).train()
    (tmp_path / "run/checkpoint-2" / lost).unlink()
    with pytest.raises(ValueError, match="would lead to other weights"):
        start(**EVERY_STEP).train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))


def test_the_best_model_is_the_one_that_was_saved(start, dataset):
    keeper = StateKeeper()
    trainer = start(
        **EVERY_STEP,
        eval_dataset=dataset,
        eval_strategy="steps",
        eval_steps=2,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=True,  # the least trained
        learning_rate=3e-3,
        callbacks=[keeper],
    )
    trainer.train()
    assert trainer.state.best_model_checkpoint.endswith("checkpoint-2")
    assert same(copy_of(trainer.model), keeper.states[2])
    assert not same(keeper.states[2], keeper.states[4])


@pytest.fixture
def trained(make_trainer, model):
    """A trainer that trained everything, with a checkpoint of it."""
    trainer = make_trainer(**EVERY_STEP)
    trainer.train()
    trainer.save_model()
    return trainer


def test_a_checkpoint_and_the_saved_model_load_as_what_was_trained(trained, tmp_path):
    expected = copy_of(trained.model)
    for folder in ("run", "run/checkpoint-4"):
        assert same(copy_of(AutoModel.from_pretrained(tmp_path / folder)), expected)
        guard = AutoModelForImageClassification.from_pretrained(tmp_path / folder).state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in guard.items())


def test_the_saved_model_has_the_key_names_of_the_base(trained, tiny_llava, tmp_path):
    tiny_llava.save_pretrained(tmp_path / "llava")
    stock, saved = (load_file(tmp_path / name / "model.safetensors").keys() for name in ("llava", "run"))
    assert stock <= saved


def test_a_saved_model_is_no_checkpoint_to_resume_from(trained, make_trainer, tmp_path):
    with pytest.raises(ValueError, match=r"weights are missing.*Resume from a `checkpoint-N` folder"):
        make_trainer(**EVERY_STEP).train(resume_from_checkpoint=str(tmp_path / "run"))


def test_a_sharded_checkpoint_resumes_too(make_trainer, model, monkeypatch, tmp_path):
    train_parts("model.language_model.")(model)
    weights = copy_of(model)
    unbroken = make_trainer(**EVERY_STEP)
    save = type(model).save_pretrained
    monkeypatch.setattr(type(model), "save_pretrained", lambda *args, **kw: save(*args, max_shard_size="60KB", **kw))
    unbroken.train()
    expected = copy_of(model)
    assert len(list((tmp_path / "run" / "checkpoint-2").glob("model-*.safetensors"))) > 1
    assert same(copy_of(AutoModel.from_pretrained(tmp_path / "run" / "checkpoint-4")), expected)
    model.load_state_dict(weights)
    make_trainer(**EVERY_STEP).train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    assert same(copy_of(model), expected)


def test_tied_embeddings_are_saved_once_and_resumed(make_trainer, model, tmp_path):
    model.config.text_config.tie_word_embeddings = model.config.tie_word_embeddings = True
    model = type(model)(model.config)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    weights = copy_of(model)
    make_trainer(model=model, **EVERY_STEP).train()
    expected = copy_of(model)
    assert "lm_head.weight" not in load_file(tmp_path / "run" / "checkpoint-2" / "model.safetensors")
    model.load_state_dict(weights)
    make_trainer(model=model, **EVERY_STEP).train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    assert same(copy_of(model), expected)
