"""Stage 2 leaves verdicts as they are: its rows need no labels, all of them train, and no adapter touches the head."""

import pytest
from datasets import concatenate_datasets
from peft import LoraConfig

from safe_llava.training.stages import LANGUAGE_MODEL_LINEAR_LAYERS, of_revision


LORA = {"r": 2, "target_modules": LANGUAGE_MODEL_LINEAR_LAYERS}


@pytest.fixture
def many_rows(dataset):
    return concatenate_datasets([dataset] * 12)


@pytest.mark.parametrize("labels", ["as they are", "none"])
def test_every_row_trains_the_language_model_whatever_its_labels(make_trainer, many_rows, labels):
    if labels == "none":
        many_rows = many_rows.map(lambda row: {"safety_level": -100, "safety_type": -100})
    trainer = make_trainer(train_dataset=many_rows, peft_config=LoraConfig(**LORA))
    assert len(trainer.train_dataset) == len(many_rows)
    trainer.train()
    assert trainer.unlearned == []


@pytest.mark.parametrize(
    "lora",
    [
        {"target_modules": "all-linear"},
        {**LORA, "modules_to_save": ["safety_modules"]},
        {**LORA, "modules_to_save": ["embed_tokens"]},
    ],
    ids=["all linear layers", "safety modules", "word embeddings"],
)
def test_an_adapter_that_would_change_verdicts_is_refused(make_trainer, lora):
    with pytest.raises(ValueError, match="verdicts could not be trusted"):
        make_trainer(peft_config=LoraConfig(**{"r": 2, **lora}))


def test_an_adapter_names_the_revision_that_it_is_trained_on():
    assert of_revision(LoraConfig(**LORA), "v1").revision == "v1"
    assert of_revision(LoraConfig(**LORA), "main").revision is None
    assert of_revision(None, "v1") is None


def test_held_out_rows_are_checked_where_workers_are_kept_from_an_evaluation(make_trainer, dataset, many_rows):
    trainer = make_trainer(
        eval_dataset=dataset,
        held_out_dataset=many_rows,
        dataloader_num_workers=1,
        dataloader_persistent_workers=True,
    )
    trainer.evaluate()
    trainer._check_learning()
    labelled = sum(level != -100 for level in many_rows["safety_level"])
    assert len(trainer._eval_rows["level"]) == labelled
