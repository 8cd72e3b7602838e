"""A run that is killed between two steps goes on from its last checkpoint and ends as if nothing had happened."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from recipes.train import main


pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def write_config(model, processor, dataset, tmp_path):
    model.save_pretrained(tmp_path / "base")
    processor.save_pretrained(tmp_path / "base")
    dataset.save_to_disk(tmp_path / "data")

    def write(output):
        fields = {
            "model_name_or_path": str(tmp_path / "base"),
            "output_dir": str(tmp_path / output),
            "stage": 1,
            "dataset_name": str(tmp_path / "data"),
            "learning_rate": 1.0e-3,
            "per_device_train_batch_size": 3,
            "max_steps": 12,
            "save_strategy": "steps",
            "save_steps": 5,
            "save_total_limit": 2,
            "max_length": None,
            "gradient_checkpointing": False,
            "bf16": False,
            "use_cpu": True,
            "disable_tqdm": True,
            "report_to": "none",
            "require_learned_head": False,
        }
        path = tmp_path / f"{output}.yaml"
        path.write_text(yaml.safe_dump(fields))
        return str(path)

    return write


KILLED = """
import os, signal, sys
from transformers import Trainer
from recipes.train import main

def training_step(trainer, *arguments, step=Trainer.training_step):
    if trainer.state.global_step == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(trainer, *arguments)

Trainer.training_step = training_step
main(sys.argv[1:])
"""


def test_a_killed_run_resumes_and_ends_with_the_same_weights(write_config, tmp_path):
    main(["--config", write_config("unbroken")])
    config = write_config("killed")
    command = [sys.executable, "-c", KILLED, "--config", config]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run(command, cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "model.safetensors").exists()

    [checkpoint] = (tmp_path / "killed").glob("checkpoint-*")
    main(["--config", config, "--resume_from_checkpoint", str(checkpoint)])
    unbroken, resumed = (load_file(tmp_path / name / "model.safetensors") for name in ("unbroken", "killed"))
    assert unbroken.keys() == resumed.keys()
    for name in unbroken:
        torch.testing.assert_close(resumed[name], unbroken[name], msg=lambda m, name=name: f"{name}: {m}")
