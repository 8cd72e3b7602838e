"""Both stages on a model with a tower of convolutions, a ChatML template and tied word embeddings."""

import json

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoProcessor

from recipes.train import main
from safe_llava.conversion import convert_llava_checkpoint
from safe_llava.training import SafeDataCollator
from tests.foreign_llava import SYSTEM_TURN, build_foreign_llava


FIELDS = {
    "learning_rate": 1.0e-2,
    "max_steps": 2,
    "max_length": None,
    "per_device_train_batch_size": 2,
    "gradient_checkpointing": True,
    "bf16": False,
    "use_cpu": True,
    "save_strategy": "no",
    "report_to": "none",
    "require_learned_head": False,
}
LORA = {
    "use_peft": True,
    "lora_r": 2,
    "lora_target_modules": r"model\.language_model\.layers\..*_proj",
    "lora_task_type": None,
    "merge_adapter": True,
    "hints_in_prompts": True,
}


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """A converted model, and what stage 1 and then stage 2 make of it."""
    folder = tmp_path_factory.mktemp("stages")
    stock, processor = build_foreign_llava()
    stock.save_pretrained(folder / "source")
    processor.save_pretrained(folder / "source")
    convert_llava_checkpoint(folder / "source", folder / "base", num_safety_tokens=2, num_safety_visual_tokens=9)
    rows = []
    for index, (colour, level, risk_type) in enumerate(
        [("red", "high", "illegal_risk"), ("blue", "none", "safe")] * 2
    ):
        Image.new("RGB", (40, 30), colour).save(folder / f"{index}.png")
        turns = [{"from": "human", "value": "<image>\nWhich?"}, {"from": "gpt", "value": f"{colour}."}]
        labels = {"safety_level": level, "safety_type": risk_type}
        rows.append({"image": f"{index}.png", "conversations": turns, **labels})
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = {"dataset_name": str(folder / "rows.jsonl"), "image_folder": str(folder)}
    names = ("base", "stage1", "stage2")
    for stage in (1, 2):
        places = {"model_name_or_path": str(folder / names[stage - 1]), "output_dir": str(folder / names[stage])}
        cache = {"vision_feature_cache": str(folder / "cache")} if stage == 1 else LORA
        path = folder / f"stage{stage}.yaml"
        path.write_text(yaml.safe_dump({"stage": stage, **FIELDS, **data, **places, **cache}))
        main(["--config", str(path)])
    return [folder / name for name in names]


def changed(before, after) -> set[str]:
    before, after = (load_file(folder / "model.safetensors") for folder in (before, after))
    assert before.keys() == after.keys()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def test_stage_1_changes_safety_modules_alone_and_no_statistics_of_the_tower(stages):
    names = changed(*stages[:2])
    assert names
    assert all(".safety_modules." in f".{name}" for name in names)


def test_stage_2_merges_into_the_layers_and_leaves_tied_embeddings(stages):
    names = changed(*stages[1:])
    assert names
    assert all(name.endswith("_proj.weight") and "language_model" in name for name in names)


def test_an_answer_is_learned_with_the_token_that_ends_its_turn(stages):
    processor = AutoProcessor.from_pretrained(stages[0])
    turns = [("user", "Who?"), ("assistant", "A cat."), ("user", "Where?"), ("assistant", "There.")]
    messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
    rows = [{"messages": messages, "images": []}, {"messages": messages[:2], "images": []}]
    batch = SafeDataCollator(processor)(rows)
    learned = [processor.decode(row[row != -100]) for row in batch["labels"]]
    assert learned == ["A cat.<|im_end|>There.<|im_end|>", "A cat.<|im_end|>"]
    assert processor.decode(batch["input_ids"][0]).startswith(SYSTEM_TURN)
