"""The recipe script: what it saves and what it refuses."""

import json
import shutil

import pytest
import torch
import yaml
from transformers import AutoModel, AutoProcessor

from recipes.train import main
from safe_llava.data.sources import PUBLIC_SETS, describe
from safe_llava.models.safety_texts import DEFAULT_HINTS
from tests.data.sources.published_sets import write_vlguard


@pytest.fixture
def write_config(saved, tmp_path):
    """A YAML file that trains a copy of the tiny model for two steps."""
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)

    def write(**changes):
        fields = {
            "model_name_or_path": str(tmp_path / "base"),
            "output_dir": str(tmp_path / "out"),
            "stage": 1,
            "dataset_name": str(tmp_path / "data"),
            "learning_rate": 1.0e-3,
            "max_steps": 2,
            "max_length": None,
            "per_device_train_batch_size": 4,
            "gradient_checkpointing": False,
            "bf16": False,
            "use_cpu": True,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "require_learned_head": False,
            **changes,
        }
        path = tmp_path / "config.yaml"
        path.write_text(yaml.safe_dump({name: value for name, value in fields.items() if value is not ...}))
        return path

    return write


SCENES = [{"name": "miniature", "max_samples": 4}]
SEVERAL = {"dataset_name": ..., "datasets": SCENES}
LORA = {
    "stage": 2,
    "use_peft": True,
    "lora_target_modules": r"model\.language_model\.layers\..*_proj",
    "lora_task_type": None,
}


def run(config, *arguments):
    main(["--config", str(config), *arguments])


def test_stage_1_saves_a_checkpoint_with_processor_policy_metrics_and_state(write_config, model, tmp_path):
    run(write_config(eval_dataset_name=str(tmp_path / "data")))
    trained = AutoModel.from_pretrained(tmp_path / "out")
    head = "model.safety_modules.head.level_classifier.weight"
    assert not torch.equal(trained.state_dict()[head], model.state_dict()[head])
    assert trained.config.safety_policy == model.config.safety_policy
    assert AutoProcessor.from_pretrained(tmp_path / "out").num_additional_image_tokens == 4 + 1
    metrics = json.loads((tmp_path / "out" / "all_results.json").read_text())
    assert {"train_loss", "eval_level_accuracy", "eval_type_accuracy"} <= metrics.keys()
    log = json.loads((tmp_path / "out" / "trainer_state.json").read_text())["log_history"]
    assert {"level_loss", "type_loss", "safety_loss"} <= log[0].keys()


def test_what_is_saved_has_a_model_card_and_no_pickle(write_config, tmp_path):
    run(write_config())
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert "README.md" in files
    assert not any(name.endswith((".bin", ".pt", ".pkl")) for name in files)


PUSH = {"push_to_hub": True, "hub_model_id": "org/trained", "hub_token": "loopback", "hub_strategy": "end"}


@pytest.mark.parametrize("stage", [{}, LORA, LORA | {"merge_adapter": True}], ids=["stage1", "adapter", "merged"])
def test_a_push_is_the_output_folder_once_all_of_it_is_written(write_config, hub, tmp_path, stage):
    run(write_config(**PUSH, **stage))
    folder = tmp_path / "out"
    lying = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert hub.files("org/trained") == lying
    assert len([files for files in hub.repos["org/trained"] if files]) == 1
    assert "Data: " in lying["README.md"].decode()
    assert "trl" not in lying["README.md"].decode().split("---")[2].lower()


def test_no_warning_names_a_field_that_every_supported_version_needs(write_config, recwarn):
    run(write_config())
    assert not [warning for warning in recwarn if "gradient_checkpointing" in str(warning.message)]


def test_stage_2_keeps_the_adapter(write_config, tmp_path):
    run(write_config(**LORA))
    assert (tmp_path / "out" / "adapter_model.safetensors").is_file()
    assert not (tmp_path / "out" / "model.safetensors").exists()
    AutoModel.from_pretrained(tmp_path / "out")
    AutoProcessor.from_pretrained(tmp_path / "out")


def test_stage_2_merges_the_adapter_and_keeps_it_beside(write_config, tmp_path):
    run(write_config(**LORA, merge_adapter=True))
    assert (tmp_path / "out" / "adapter" / "adapter_model.safetensors").is_file()
    assert not (tmp_path / "out" / "adapter_config.json").exists()
    merged, base = (AutoModel.from_pretrained(tmp_path / name).state_dict() for name in ("out", "base"))
    moved = {name for name in merged if not torch.equal(merged[name], base[name])}
    assert moved
    assert all(name.startswith("model.language_model.layers.") for name in moved)


def test_the_authors_json_lines_can_be_trained_on(write_config, rows, tmp_path):
    lines = []
    for index, row in enumerate(rows):
        row["images"][0].save(tmp_path / f"{index}.png")
        turns = [{"from": "human", "value": "<image>\nWhich colour ?"}, {"from": "gpt", "value": "Red."}]
        lines.append({"safe_level": 0, "safe_type": 6, "image": f"{index}.png", "conversations": turns})
    lines.append({**lines[0], "image": "gone.png"})
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, lines)))
    run(write_config(dataset_name=str(tmp_path / "train.jsonl"), on_bad_rows="skip"))
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_llava_instructs_list_with_text_only_rows_can_be_trained_on(write_config, rows, tmp_path):
    records = [
        {"id": "t", "model": "", "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Ho"}]}
    ]
    for index, row in enumerate(rows):
        row["images"][0].save(tmp_path / f"{index}.png")
        turns = [{"from": "human", "value": "Which colour ?\n<image>"}, {"from": "gpt", "value": "Red."}]
        records.append({"id": str(index), "image": f"{index}.png", "conversations": turns})
    (tmp_path / "mix.json").write_text(json.dumps(records, indent=2))
    run(write_config(dataset_name=str(tmp_path / "mix.json"), unlabelled="clean"))
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_several_sets_train_together_and_their_counts_lie_beside_the_model(write_config, tmp_path):
    sets = [{"name": str(tmp_path / "data"), "share": 0.5}, {"name": "miniature", "max_samples": 4, "share": 0.5}]
    run(write_config(dataset_name=..., datasets=sets))
    counts = json.loads((tmp_path / "out" / "data.json").read_text())
    # The eight rows have one image a colour and one question, so two of them are left.
    assert [(one["read"], one["duplicates"], one["used"]) for one in counts["sets"]] == [(8, 6, 2), (4, 0, 2)]
    assert (
        f"Data: {tmp_path / 'data'} (2 rows), synthetic scenes (2 rows)"
        in (tmp_path / "out" / "README.md").read_text()
    )


def test_several_sets_can_be_named_on_the_command_line(write_config, tmp_path):
    sets = [{"name": str(tmp_path / "data")}, {"name": "miniature", "max_samples": 2}]
    run(write_config(dataset_name=..., max_steps=1), "--datasets", json.dumps(sets), "--duplicates", "keep")
    counts = json.loads((tmp_path / "out" / "data.json").read_text())
    assert [one["used"] for one in counts["sets"]] == [8, 2]


def test_a_public_set_can_be_trained_on_by_its_name_and_an_edited_label_map(write_config, tmp_path):
    write_vlguard(tmp_path / "set")
    shown = yaml.safe_load(describe(PUBLIC_SETS["vlguard"]))
    shown["categories"]["personal data"] = "safe"
    (tmp_path / "map.yaml").write_text(yaml.safe_dump(shown))
    named = {"dataset_name": "vlguard", "dataset_root": str(tmp_path / "set"), "label_map": str(tmp_path / "map.yaml")}
    run(write_config(**named, eval_dataset_name="vlguard", dataset_eval_split="test"))
    metrics = json.loads((tmp_path / "out" / "eval_results.json").read_text())
    assert (metrics["eval_level_rows"], metrics["eval_level_set_rows"]) == (2, 1)


def test_total_batch_size_sets_the_accumulation_steps(write_config, tmp_path):
    run(write_config(total_batch_size=8, per_device_train_batch_size=2, max_steps=..., num_train_epochs=2))
    state = json.loads((tmp_path / "out" / "trainer_state.json").read_text())
    assert state["global_step"] == 2


def test_a_cache_of_vision_features_and_spared_layers_can_be_asked_for(write_config, tmp_path):
    cache = tmp_path / "cache"
    run(write_config(vision_feature_cache=str(cache), gradient_checkpointing=True, num_spared_layers=1))
    assert list(cache.rglob("*.safetensors"))


def test_the_command_line_overrules_the_file(write_config, tmp_path):
    run(write_config(safety_feature_dropout=0.5), "--max_steps", "1", "--safety_feature_dropout", "0.25")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["safety_feature_dropout"] == 0.25
    assert json.loads((tmp_path / "out" / "trainer_state.json").read_text())["global_step"] == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"model_name_or_path": ...}, "model_name_or_path"),
        ({"stage": 3}, "stage"),
        ({"stage": 2}, "use_peft"),
        ({"use_peft": True}, "use_peft"),
        ({"merge_adapter": True}, "merge_adapter"),
        ({"hints_in_prompts": True}, "hints_in_prompts"),
        ({**LORA, "robust": True}, "robust"),
        ({**LORA, "safety_feature_dropout": 0.1}, "safety_feature_dropout"),
        ({"safety_feature_dropout": 1.5}, "safety_feature_dropout"),
        ({"robust": True, "vision_feature_cache": "cache"}, "vision_feature_cache"),
        ({"random_vision_layers": True}, "random_vision_layers"),
        ({**LORA, "random_vision_layers": True}, "use_safety_head"),
        ({**LORA, "random_vision_layers": True, "vision_feature_cache": "cache"}, "vision_feature_cache"),
        ({**LORA, "merge_adapter": True, **PUSH, "hub_strategy": "every_save"}, "hub_strategy"),
        ({"max_length": 512}, "max_length"),
        ({"num_spared_layers": 1}, "num_spared_layers"),
        ({"num_spared_layers": -1, "gradient_checkpointing": True}, "num_spared_layers"),
        ({"total_batch_size": 6}, "total_batch_size"),
        ({"on_bad_rows": "ignore"}, "on_bad_rows"),
        ({"balance_by": "kind"}, "balance_by"),
        ({"eval_strategy": "epoch"}, "eval_dataset_name"),
        ({"dataset_name": "miniature"}, "max_train_samples"),
        ({"max_eval_samples": 4}, "max_eval_samples"),
        ({"dataset_eval_split": "test"}, "dataset_eval_split"),
        ({"dataset_train_split": "test"}, "dataset_train_split"),
        ({"dataset_config": "small"}, "dataset_config"),
        ({"image_folder": "images"}, "image_folder"),
        ({"dataset_root": "images"}, "dataset_root"),
        ({"label_map": "map.yaml"}, "label_map"),
        ({"dataset_name": "vlguard", "image_folder": "images"}, "image_folder"),
        ({"dataset_name": "vlguard", "unlabelled": "clean"}, "unlabelled"),
        ({"dataset_name": "vlguard", "dataset_config": "small"}, "dataset_config"),
        ({"dataset_name": "miniature", "max_train_samples": 4, "on_bad_rows": "skip"}, "on_bad_rows"),
        ({"dataset_name": "miniature", "max_train_samples": 4, "check_images": False}, "check_images"),
        ({"dataset_name": "miniature", "max_train_samples": 4, "unlabelled": "clean"}, "unlabelled"),
        ({"unlabelled": "clean"}, "unlabelled"),
        ({"unlabelled": "safe"}, "unlabelled"),
        ({"total_batch_size": 8, "gradient_accumulation_steps": 4}, "gradient_accumulation_steps"),
        ({"lora_r": 4}, "lora_r"),
        ({"lora_target_modules": ["q_proj"]}, "lora_target_modules"),
        ({"use_rslora": True}, "use_rslora"),
        ({"dataset_text_field": "caption"}, "dataset_text_field"),
        ({"learning_rat": 1.0}, "learning_rat"),
        ({"duplicates": "keep"}, "duplicates"),
        ({"dataset_name": ...}, "`dataset_name`, one set to train on, or `datasets`"),
        ({"datasets": SCENES}, "`dataset_name`, one set to train on, or `datasets`"),
        ({**SEVERAL, "duplicates": "merge"}, "duplicates"),
        ({**SEVERAL, "datasets": [{"name": "miniature"}]}, "max_samples"),
        ({**SEVERAL, "datasets": [{"name": "miniature", "weight": 1}]}, "weight"),
        ({**SEVERAL, "max_train_samples": 4}, "max_train_samples"),
        ({**SEVERAL, "dataset_train_split": "test"}, "dataset_train_split"),
        ({**SEVERAL, "dataset_config": "small"}, "dataset_config"),
        ({**SEVERAL, "image_folder": "images"}, "image_folder"),
        ({**SEVERAL, "unlabelled": "clean"}, "unlabelled"),
        ({**SEVERAL, "on_bad_rows": "skip"}, "on_bad_rows"),
        ({**SEVERAL, "check_images": False}, "check_images"),
        ({**SEVERAL, "benchmarks": {"vlgard": "."}}, "vlgard"),
        ({"benchmarks": {"siuo": "."}, "check_images": False}, "check_images"),
    ],
)
def test_a_field_that_does_not_fit_is_named(changes, named, write_config):
    with pytest.raises(ValueError, match=named):
        run(write_config(**changes))


def test_a_value_of_the_wrong_type_is_named(write_config, capsys):
    with pytest.raises(SystemExit):
        run(write_config(max_train_samples="many"))
    assert "--max_train_samples" in capsys.readouterr().err


def test_a_stock_llava_is_refused_with_the_command_that_converts_it(write_config, tiny_llava, tmp_path):
    tiny_llava.save_pretrained(tmp_path / "stock")
    with pytest.raises(ValueError, match="safe-llava convert"):
        run(write_config(model_name_or_path=str(tmp_path / "stock")))


def test_stage_2_refuses_a_model_that_has_not_been_through_stage_1(write_config, model, tmp_path):
    model.config.safety_training = None
    model.config.save_pretrained(tmp_path / "base")
    with pytest.raises(ValueError, match="no record of a finished stage 1"):
        run(write_config(**LORA, require_learned_head=True))


def test_hints_need_a_policy_to_come_from(write_config, model, tmp_path):
    model.config.safety_policy = None
    model.config.save_pretrained(tmp_path / "base")
    with pytest.raises(ValueError, match="hints_in_prompts"):
        run(write_config(**LORA, hints_in_prompts=True))


def test_hints_stand_in_the_prompts_that_stage_2_trains_on(write_config, monkeypatch):
    trained_on = []

    class StoppedError(Exception):
        pass

    def keep_rows(model, args, train_dataset, processor, **kwargs):
        trained_on.extend(train_dataset["messages"])
        raise StoppedError

    monkeypatch.setattr("recipes.train.SafeSFTTrainer", keep_rows)
    with pytest.raises(StoppedError):
        run(write_config(**LORA, hints_in_prompts=True, dataset_name="miniature", max_train_samples=40))
    hints = tuple(hint for by_level in DEFAULT_HINTS.values() for hint in by_level.values())
    assert any(messages[-2]["content"].endswith(hints) for messages in trained_on)
