"""The model card says what is known, and says so where nothing is."""

import json
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from safe_llava import SafeLlavaConfig, SafetyPolicy
from safe_llava.model_card import build_model_card, write_model_card


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    SafeLlavaConfig(num_safety_tokens=8, safety_training={"rows": None}).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_nothing_known_reads_as_unknown():
    text = str(build_model_card(SafeLlavaConfig(safety_training={"rows": None})))
    assert "None were recorded" in text
    assert "left no record of its training" in text
    assert "states no licence here" in text
    assert "None is stored: answers are not steered" in text
    assert "{{" not in text and "{%" not in text


def test_every_figure_stands_beside_its_stage_with_its_interval():
    metrics = {
        "base": {"over_refusal_rate": 0.0, "level_accuracy": None},
        "stage1": {"over_refusal_rate": 0.5, "level_accuracy": 0.9, "intervals": {"level_accuracy": [0.88, 0.92]}},
    }
    text = build_model_card(SafeLlavaConfig(), metrics).text
    assert "| | base | stage 1 |" in text
    assert "| over-refusal on look-alikes | 0.0% | 50.0% |" in text
    assert "| accuracy of the risk level | - | 90.0% [88.0%, 92.0%] |" in text


def test_the_policy_stands_in_the_card():
    policy = SafetyPolicy.from_dict({"types": {"politics": {"enabled": False}}, "actions": {"high": "refuse"}})
    text = build_model_card(SafeLlavaConfig(safety_policy=policy.to_dict())).text
    assert "| politics | no | 0.5 |" in text
    assert "| high | refused, without a step of the language model |" in text


@pytest.mark.parametrize("unfamiliar", ["refuse", "assess"])
def test_what_becomes_of_unfamiliar_images_stands_there_where_the_model_knows_any(unfamiliar):
    policy = SafetyPolicy(unfamiliar=unfamiliar).to_dict()
    assert "unlike those" not in build_model_card(SafeLlavaConfig(safety_policy=policy)).text
    text = build_model_card(SafeLlavaConfig(safety_policy=policy, safety_familiarity={"share": 0.99})).text
    assert "So are images unlike those of the calibration" in text
    assert "99 % are kept" in text
    assert ("goes by their level and types all the same" in text) == (unfamiliar == "assess")


def test_a_model_without_head_says_that_its_policy_never_applies():
    assert "gives no verdicts" in build_model_card(SafeLlavaConfig(use_safety_head=False)).text


def test_figures_and_training_record_of_the_folder_come_into_its_card(folder):
    (folder / "metrics.json").write_text(json.dumps({"stage2": {"harmless_accuracy": 0.987}}))
    state = {"global_step": 40, "epoch": 2.0, "log_history": [{"loss": 0.25, "level_loss": 0.125, "step": 40}]}
    (folder / "trainer_state.json").write_text(json.dumps(state))
    text = write_model_card(folder).read_text()
    assert "| accuracy on harmless questions | 98.7% |" in text
    assert "40 optimizer steps, 2 epochs" in text
    assert "`loss` 0.25, `level_loss` 0.125." in text
    assert "behind 8 learned safety tokens" in text


def test_base_and_licence_are_handed_down_from_stage_to_stage(folder, tmp_path):
    write_model_card(folder, base_model="llava-hf/llava-1.5-7b-hf", license="llama2")
    SafeLlavaConfig().save_pretrained(tmp_path / "stage1")
    path = write_model_card(tmp_path / "stage1", source=folder, data="synthetic scenes")
    card = ModelCard.load(path)
    assert (card.data.base_model, card.data.license) == ("llava-hf/llava-1.5-7b-hf", "llama2")
    assert "synthetic scenes" in card.text


EVALUATION = {
    "title": "ours beside its base llava",
    "note": "Machine and versions.",
    "columns": ["benchmark", "figure", "rows", "model", "base", "model - base"],
    "rows": [["figstep", "unsafe answers", "500", "4.0%", "60.0%", "-56.0%"]],
    "figures": [
        {"dataset": "figstep", "split": "default", "rows": 500, "metric": "unsafe", "name": "unsafe", "value": 0.04}
    ],
}


def test_the_last_stages_figures_are_metadata_that_the_hub_can_read_and_are_called_synthetic():
    metrics = {"base": {"over_refusal_rate": 0.0}, "stage2": {"over_refusal_rate": 0.25, "level_accuracy": None}}
    card = ModelCard(str(build_model_card(SafeLlavaConfig(), metrics)))
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("over_refusal_rate", 0.25)
    assert "ynthetic" in result.dataset_name


def test_an_evaluation_beside_the_checkpoint_comes_into_table_and_metadata(folder):
    (folder / "evaluation.json").write_text(json.dumps(EVALUATION))
    card = ModelCard.load(write_model_card(folder))
    (result,) = card.data.eval_results
    assert (result.dataset_type, result.dataset_split, result.metric_value) == ("figstep", "default", 0.04)
    assert "| figstep | unsafe answers | 500 | 4.0% | 60.0% | -56.0% |" in card.text
    assert "None were recorded" not in card.text


def test_a_model_without_figures_has_no_results_in_its_metadata():
    assert "model-index" not in build_model_card(SafeLlavaConfig()).data.to_dict()
