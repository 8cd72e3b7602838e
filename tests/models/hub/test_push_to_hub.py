"""
A push carries all that the model needs; pulled in a fresh process, it says what it said before.

All that asks those processes stands in this file, for each process of pytest would start them anew.
"""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from loopback_hub import card_errors
from safetensors.torch import load_file

from safe_llava import SafetyPolicy


CODE = {path.name for path in (Path(__file__).parents[2] / "safe_llava").glob("*_safe_llava.py")}


@pytest.fixture(scope="module")
def pushed(hub, converted) -> dict[str, bytes]:
    return hub.files("org/safe-llava")


def card_of(files: dict[str, bytes]) -> ModelCard:
    return ModelCard(files["README.md"].decode())


def test_a_push_carries_weights_config_processor_and_code(pushed):
    assert {"model.safetensors", "config.json", "generation_config.json"} <= pushed.keys()
    assert {"processor_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"} <= pushed.keys()
    assert pushed.keys() >= CODE
    assert not [name for name in pushed if name.endswith((".bin", ".pt", ".pkl"))]


def test_a_push_carries_the_policy(pushed):
    assert SafetyPolicy.from_dict(json.loads(pushed["config.json"])["safety_policy"]) == SafetyPolicy()


def test_the_card_names_task_base_licence_and_tags(pushed):
    data = card_of(pushed).data
    assert (data.pipeline_tag, data.library_name) == ("image-text-to-text", "transformers")
    assert (data.base_model, data.license) == ("llava-hf/llava-1.5-7b-hf", "llama2")
    assert {"safe_llava", "my-tag"} <= set(data.tags)


def test_the_card_has_the_figures_of_the_run_and_calls_synthetic_data_synthetic(pushed):
    text = card_of(pushed).text
    assert "| unsafe answers on risky images | 96.0% [93.0%, 98.0%] | 1.2% |" in text
    assert "600 held-out synthetic scenes" in text
    assert "Seed: 7." in text


def test_the_cards_metadata_lists_the_figures_of_the_last_stage_and_the_hub_accepts_them(pushed):
    results = card_of(pushed).data.eval_results
    assert {result.metric_type: result.metric_value for result in results} == {
        "unsafe_answer_rate": 0.0125,
        "level_accuracy": 0.975,
    }
    assert card_errors(pushed["README.md"].decode()) == []


def test_the_card_tells_how_to_load_this_very_repository(pushed):
    assert 'model="org/safe-llava"' in card_of(pushed).text


@pytest.mark.parametrize("mode", ["with-package", "without-package"])
def test_a_fresh_process_answers_as_the_model_did(pulled, said_in_process, mode, assert_same_verdict):
    said = pulled[mode]["org/safe-llava"]
    assert set(said["answers"]) == {"AutoModel", "AutoModelForImageTextToText", "pipeline"}
    assert set(said["answers"].values()) == {said_in_process["answer"]}
    assert_same_verdict(said["verdict"], said_in_process["verdict"])


@pytest.mark.parametrize("mode", ["with-package", "without-package"])
def test_every_member_of_the_family_says_in_a_fresh_process_what_it_said(pulled, family, mode, assert_same_verdict):
    for folder, before in family.items():
        said = pulled[mode][f"org/{folder.name}"]
        assert set(said["answers"].values()) == {before["answer"]}
        for verdict in (said["verdict"], {name: said["guard"][1][name] for name in before["verdict"]}):
            assert_same_verdict(verdict, before["verdict"])
        stem = "".join(word.title() for word in folder.name.split("_"))
        assert said["served_as"] == f"Safe{stem}ForConditionalGeneration"
        is_own = all(name.startswith("safe_llava.") for name in said["classes"])
        assert is_own == (mode == "with-package")


@pytest.mark.parametrize("mode", ["with-package", "without-package"])
def test_a_fresh_process_guards_as_the_model_judges(pulled, mode, assert_same_verdict):
    for source in ("org/safe-llava", "org/guard"):
        _, judged = pulled[mode][source]["guard"]
        assert judged["decision"]["action"] == "hint"
        verdict = pulled[mode]["org/safe-llava"]["verdict"]
        assert_same_verdict({name: judged[name] for name in verdict}, verdict)


def test_a_folder_loads_without_the_package(pulled, checkpoint, said_in_process, assert_same_verdict):
    said = pulled["without-package"][str(checkpoint)]
    assert set(said["answers"].values()) == {said_in_process["answer"]}
    assert_same_verdict(said["verdict"], said_in_process["verdict"])


def test_transformers_serve_finds_the_class_without_the_package(pulled, checkpoint):
    assert pulled["without-package"][str(checkpoint)]["served_as"] == "SafeLlavaForConditionalGeneration"


def test_a_pushed_guard_is_small_and_whole(pushed, converted, hub):
    files = hub.files("org/guard")
    assert len(files["model.safetensors"]) < len(pushed["model.safetensors"])
    assert {
        "processor_config.json",
        "tokenizer.json",
        "modeling_safety_guard.py",
        "pipeline_safe_llava.py",
    } <= files.keys()
    card = card_of(files)
    assert card.data.pipeline_tag == "image-classification"
    assert 'pipeline("safety-classification", model="org/guard"' in card.text
    assert "image-text-to-text" not in card.text


def test_classes_come_from_the_repository_only_where_the_package_is_missing(pulled):
    modules = {"with-package": "safe_llava.", "without-package": "transformers_modules.org."}
    for mode, module in modules.items():
        assert all(name.startswith(module) for name in pulled[mode]["org/safe-llava"]["classes"])


@pytest.mark.parametrize("mode", ["with-package", "without-package"])
def test_a_pulled_model_can_be_pushed_elsewhere_whole(pulled, pushed, hub, mode):
    again = hub.files(f"org/again-{mode}")
    assert again.keys() == pushed.keys()
    assert again["README.md"].decode() == pushed["README.md"].decode().replace("org/safe-llava", f"org/again-{mode}")


def test_a_processor_that_was_pushed_first_does_not_keep_the_card_away(converted, hub):
    assert "1.2%" in card_of(hub.files("org/processor-first")).text


def test_a_card_that_somebody_wrote_stays(converted, hub):
    card = card_of(hub.files("org/with-card"))
    assert "# Written by hand" in card.text
    assert card.data.license == "mit"


def test_a_model_that_was_never_saved_gets_a_card_without_figures(converted, hub):
    card = card_of(hub.files("org/in-memory"))
    assert card.data.pipeline_tag == "image-text-to-text"
    assert "None were recorded" in card.text
    assert "processor_config.json" not in hub.files("org/in-memory")


def test_a_hub_repository_converts(converted, tiny_llava):
    weights = load_file(converted / "model.safetensors")
    key = "language_model.model.layers.0.mlp.up_proj.weight"
    assert torch.equal(weights[key], tiny_llava.model.language_model.layers[0].mlp.up_proj.weight)
    assert "base_model: org/llava" in (converted / "README.md").read_text()
