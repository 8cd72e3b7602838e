"""What `safe-llava quickstart` leaves, without its minutes of training."""

import shutil
from pathlib import Path

import pytest
from transformers import AutoModelForImageTextToText

import safe_llava  # noqa: F401 (registers the model)
from safe_llava.conversion import convert_llava_checkpoint
from safe_llava.miniature import CHECKPOINT
from safe_llava.miniature.scene_dataset import build_dataset
from safe_llava.model_card import write_model_card
from safe_llava.models.safety_trust import record_training


@pytest.fixture(scope="session")
def quickstart_dir(tmp_path_factory) -> Path:
    """The miniature with random safety modules that count as trained, its card, and two images."""
    folder = tmp_path_factory.mktemp("quickstart")
    source = convert_llava_checkpoint(
        CHECKPOINT, folder / "model", num_safety_tokens=8, num_safety_visual_tokens=36, seed=0
    )
    model = AutoModelForImageTextToText.from_pretrained(source)
    record_training(model)
    model.save_pretrained(source)
    write_model_card(source)
    scenes = list(build_dataset("test", 200, seed=0))
    asked_who = next(row for row in scenes if (row["kind"], row["topic"]) == ("pair_risky", "pair_privacy"))
    harmless = next(row for row in scenes if row["kind"] == "harmless")
    asked_who["images"][0].save(folder / "image.png")
    harmless["images"][0].save(folder / "other.png")
    return folder


@pytest.fixture
def working_dir(quickstart_dir, tmp_path) -> Path:
    """A folder with a `quickstart/` of its own, for some commands change the model."""
    shutil.copytree(quickstart_dir, tmp_path / "quickstart")
    return tmp_path
