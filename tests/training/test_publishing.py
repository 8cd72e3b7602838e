"""What a run pushes, for each way it pushes: the model, its code, its processor and our card; no pickle."""

import warnings

import pytest
from huggingface_hub import ModelCard
from peft import LoraConfig
from transformers import AutoModel

from safe_llava.training import LANGUAGE_MODEL_LINEAR_LAYERS
from tests.models.hub.loopback_hub import card_errors


PICKLES = (".bin", ".pt", ".pth", ".pkl")
STRATEGIES = ("end", "every_save", "checkpoint", "all_checkpoints")
LORA = {"r": 2, "target_modules": LANGUAGE_MODEL_LINEAR_LAYERS}


@pytest.fixture
def train_and_push(make_trainer, hub):
    def run(strategy="end", lora=None, **options):
        trainer = make_trainer(
            peft_config=lora and LoraConfig(**lora),
            max_steps=2,
            save_strategy="steps",
            save_steps=1,
            push_to_hub=True,
            hub_model_id="org/trained",
            hub_strategy=strategy,
            hub_always_push=True,
            hub_token="loopback",
            **options,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.train()
        trainer.push_to_hub()
        return trainer

    return run


@pytest.fixture(params=["whole model", "lora"])
def lora(request):
    return LORA if request.param == "lora" else None


@pytest.mark.parametrize(
    ("strategy", "lora"), [*((strategy, None) for strategy in STRATEGIES), ("end", LORA), ("all_checkpoints", LORA)]
)
def test_no_pickle_is_pushed_or_left_in_the_output_folder(train_and_push, hub, tmp_path, strategy, lora):
    train_and_push(strategy, lora)
    names = {name for files in hub.repos["org/trained"] for name in files}
    names |= {path.name for path in (tmp_path / "run").iterdir()}
    assert not [name for name in names if name.endswith(PICKLES)]
    weights = "model.safetensors" if lora is None else "adapter_model.safetensors"
    folders = {"end": [""], "every_save": [""], "checkpoint": ["", "last-checkpoint/"]}
    for folder in folders.get(strategy, ["", "checkpoint-1/", "checkpoint-2/"]):
        assert f"{folder}{weights}" in hub.files("org/trained")


def test_a_pickle_that_lies_in_the_output_folder_stays_there(train_and_push, hub, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("kept")
    (tmp_path / "run" / "scaler.pt").write_bytes(b"")
    train_and_push()
    assert "notes.txt" in hub.files("org/trained")
    assert "scaler.pt" not in hub.files("org/trained")


def test_every_commit_with_weights_has_our_card(train_and_push, hub, lora):
    train_and_push("every_save", lora)
    snapshots = [files for files in hub.repos["org/trained"] if any("model.safetensors" in name for name in files)]
    assert len(snapshots) > 1
    for files in snapshots:
        card = ModelCard(files["README.md"].decode())
        assert card.data.tags[0] == "safe_llava"
        assert "## Safety policy" in card.text
        assert "trl" not in card.text.lower()
        assert card.data.library_name == ("transformers" if lora is None else "peft")
        assert card_errors(files["README.md"].decode()) == []


def test_the_last_card_tells_of_the_training_and_how_to_load_this_repository(train_and_push, hub):
    train_and_push()
    text = hub.files("org/trained")["README.md"].decode()
    assert "2 optimizer steps" in text
    assert 'model="org/trained"' in text


def test_what_was_pushed_is_the_output_folder_and_loads(train_and_push, hub, tmp_path):
    train_and_push("every_save")
    lying = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
    pushed = hub.files("org/trained")
    assert pushed == lying
    assert {"modeling_safe_llava.py", "processor_config.json", "config.json"} <= pushed.keys()
    AutoModel.from_pretrained(tmp_path / "run")


def test_saving_with_push_to_hub_pushes(train_and_push, hub):
    trainer = train_and_push()
    trainer.save_model()
    assert len(hub.repos["org/trained"]) > 2


def test_a_run_whose_checkpoint_was_pushed_still_resumes(train_and_push, make_trainer, tmp_path):
    trainer = train_and_push("checkpoint")
    resumed = make_trainer(max_steps=3)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-2"))
    assert resumed.state.global_step == 3
    assert resumed.optimizer.state_dict()["state"][0]["step"] == trainer.state.global_step + 1


def test_a_strategy_that_promises_to_resume_from_the_hub_says_what_it_leaves_out(make_trainer, hub):
    options = {"push_to_hub": True, "hub_model_id": "org/trained", "hub_token": "loopback"}
    trainer = make_trainer(save_strategy="steps", save_steps=1, hub_strategy="checkpoint", **options)
    with pytest.warns(UserWarning, match="without the optimiser's"):
        trainer.train()
