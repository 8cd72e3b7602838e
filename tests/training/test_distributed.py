"""Two processes train what one process trains."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from datasets import Dataset, concatenate_datasets
from packaging import version
from safetensors.torch import load_file

from recipes.train import main
from safe_llava.training import SafeDataCollator
from safe_llava.training.vision_cache import KNOWN_ANSWERS


pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LORA = {
    "stage": 2,
    "use_peft": True,
    "lora_target_modules": r"model\.language_model\.layers\..*_proj",
    "lora_task_type": None,
    "lora_dropout": 0.0,
}


def torchrun(*arguments: str) -> None:
    """Run a script in two gloo processes of one thread each."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr[-3000:]


@pytest.fixture
def write_config(model, processor, dataset, tmp_path):
    """Two steps over eight rows; the first process gets no image and fewer labels in its half."""
    text_only = dataset.select([0, 2, 5, 1])
    parts = [[{"role": m["role"], "content": m["content"][-1:]} for m in row["messages"]] for row in text_only]
    columns = {**text_only.to_dict(), "messages": parts, "images": [[]] * 4}
    text_only = Dataset.from_dict(columns, features=dataset.features)
    rows = concatenate_datasets([text_only, dataset.select([3, 4, 6, 7])])
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    rows.select([0, 4, 1, 5, 2, 6, 3, 7]).save_to_disk(tmp_path / "data")

    def write(output, **changes):
        fields = {
            "model_name_or_path": str(tmp_path / "base"),
            "output_dir": str(tmp_path / output),
            "stage": 1,
            "dataset_name": str(tmp_path / "data"),
            "train_sampling_strategy": "sequential",
            "optim": "sgd",
            "learning_rate": 1.0e-2,
            "lr_scheduler_type": "constant",
            "num_train_epochs": 2,
            "total_batch_size": 8,
            "max_length": None,
            "bf16": False,
            "use_cpu": True,
            "disable_tqdm": True,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "require_learned_head": False,
            **changes,
        }
        path = tmp_path / f"{output}.yaml"
        path.write_text(yaml.safe_dump(fields))
        return str(path)

    return write


def logged(folder: Path) -> list[dict[str, float]]:
    names = ("loss", "safety_loss", "level_loss", "type_loss", "level_accuracy", "type_accuracy")
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [{name: entry[name] for name in names} for entry in history if "loss" in entry]


def test_two_ddp_processes_train_what_one_process_trains_and_share_vision_features_on_disk(write_config, tmp_path):
    """Both stages, one after the other in the same two processes; the first with a cache of features."""
    stages = {"stage1": {}, "stage2": LORA}
    for stage, changes in stages.items():
        main(["--config", write_config(f"{stage}-one", per_device_train_batch_size=8, **changes)])
    cache = tmp_path / "cache"
    several = {"per_device_train_batch_size": 1}
    torchrun(
        "tests/training/several_trainings.py",
        write_config("stage1-two", vision_feature_cache=str(cache), **several),
        write_config("stage2-two", **several, **LORA),
    )
    kept = sorted(path.stem == KNOWN_ANSWERS for path in cache.rglob("*") if path.is_file())
    assert kept == [False, False, True]  # a red and a blue image, and the drawn patterns
    assert_same_training(tmp_path, "stage1", "model")
    assert_same_training(tmp_path, "stage2", "adapter_model")


def assert_same_training(folder: Path, stage: str, weights: str) -> None:
    one, two, base = (
        load_file(folder / name)
        for name in (
            f"{stage}-one/{weights}.safetensors",
            f"{stage}-two/{weights}.safetensors",
            "base/model.safetensors",
        )
    )
    assert one.keys() == two.keys()
    expected = [pytest.approx(entry, rel=1e-3) for entry in logged(folder / f"{stage}-two")]
    assert logged(folder / f"{stage}-one") == expected
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6, msg=lambda m, name=name: f"{name}: {m}")
    assert any(name not in base or not torch.equal(one[name], base[name]) for name in one)


@pytest.mark.skipif(version.parse(torch.__version__) < version.parse("2.7"), reason="torch 2.6 has no FSDP2 on CPUs")
def test_fsdp2_shards_have_the_gradients_of_the_whole_model(model, processor, rows, tmp_path):
    model.save_pretrained(tmp_path / "base")
    torch.save(SafeDataCollator(processor)(rows[:3]), tmp_path / "batch.pt")
    torchrun("tests/training/fsdp_worker.py", str(tmp_path))
    gradients = torch.load(tmp_path / "gradients.pt", weights_only=True)
    for stage in (1, 2):
        whole, sharded = gradients[stage, False], gradients[stage, True]
        assert whole.keys() == sharded.keys()
        for name in whole:
            torch.testing.assert_close(
                sharded[name], whole[name], rtol=1.3e-6, atol=1e-5, msg=lambda m, name=name: f"{name}: {m}"
            )
    assert "model.safety_modules.head.type_classifier.weight" in gradients[1, True]
