"""Copies of the tiny model and its processor that a test may train, and rows to train on."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset, Features, Image, List, Value
from PIL import Image as PILImage
from trl import SFTConfig

from safe_llava import SafeLlavaForConditionalGeneration, SafeLlavaProcessor
from safe_llava.training import SafeSFTTrainer
from tests.models.hub.loopback_hub import LoopbackHub


@pytest.fixture
def model(tiny_safe_llava: SafeLlavaForConditionalGeneration) -> SafeLlavaForConditionalGeneration:
    return copy.deepcopy(tiny_safe_llava)


@pytest.fixture
def processor(tiny_processor: SafeLlavaProcessor) -> SafeLlavaProcessor:
    return copy.deepcopy(tiny_processor)


def make_row(colour: str = "red", answer: str | None = None, level: int = 0, risk_type: int = 6) -> dict[str, Any]:
    return {
        "messages": [
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Which colour ?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": answer or f"A {colour} square ."}]},
        ],
        "images": [PILImage.new("RGB", (32, 32), colour)],
        "safety_level": level,
        "safety_type": risk_type,
    }


def make_rows() -> list[dict[str, Any]]:
    """Eight rows of unequal length; every third one is unlabelled."""
    rows = []
    for index in range(8):
        risky = index % 2
        answer = "I cannot help ." if risky else "A red square . " * (index + 1)
        rows.append(make_row("blue" if risky else "red", answer, 3 * risky, 4 if risky else 6))
        if index % 3 == 2:
            rows[-1].update(safety_level=-100, safety_type=-100)
    return rows


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    """Those of [`make_rows`]."""
    return make_rows()


def declare(rows: list[dict[str, Any]]) -> Dataset:
    """The rows as a data set with declared columns."""
    parts = List({"type": Value("string"), "text": Value("string")})
    features = Features(
        {
            "messages": List({"role": Value("string"), "content": parts}),
            "images": List(Image()),
            "safety_level": Value("int64"),
            "safety_type": Value("int64"),
        }
    )
    return Dataset.from_list(rows, features=features)


@pytest.fixture
def dataset(rows: list[dict[str, Any]]) -> Dataset:
    return declare(rows)


@pytest.fixture(scope="session")
def saved(tiny_safe_llava, tiny_processor, tmp_path_factory) -> Path:
    """A folder with the tiny model in `base` and the rows in `data`."""
    folder = tmp_path_factory.mktemp("saved")
    tiny_safe_llava.save_pretrained(folder / "base")
    tiny_processor.save_pretrained(folder / "base")
    declare(make_rows()).save_to_disk(folder / "data")
    return folder


@pytest.fixture
def make_trainer(model, processor, dataset, tmp_path) -> Callable[..., SafeSFTTrainer]:
    """A trainer of the tiny model on the eight rows; keyword arguments go to `SFTConfig`."""

    def make(
        model=model,
        train_dataset=dataset,
        eval_dataset=None,
        peft_config=None,
        vision_feature_cache=None,
        data_collator=None,
        robust=False,
        callbacks=None,
        held_out_dataset=None,
        **changes: Any,
    ) -> SafeSFTTrainer:
        arguments: dict[str, Any] = {
            "output_dir": str(tmp_path / "run"),
            "max_length": None,
            "per_device_train_batch_size": 2,
            "per_device_eval_batch_size": 3,
            "learning_rate": 1e-3,
            "lr_scheduler_type": "constant",
            "max_steps": 1,
            "logging_steps": 1,
            "save_strategy": "no",
            "report_to": "none",
            "bf16": False,
            "gradient_checkpointing": False,
            "use_cpu": True,
            "disable_tqdm": True,
            **changes,
        }
        return SafeSFTTrainer(
            model,
            SFTConfig(**arguments),
            train_dataset,
            processor,
            eval_dataset=eval_dataset,
            peft_config=peft_config,
            vision_feature_cache=vision_feature_cache,
            data_collator=data_collator,
            robust=robust,
            callbacks=callbacks,
            held_out_dataset=held_out_dataset,
        )

    return make


@pytest.fixture
def inputs_of_a_row(processor, rows) -> dict[str, Any]:
    """The first row's question and image, as a model takes them."""
    prompt = processor.apply_chat_template(rows[0]["messages"][:1], add_generation_prompt=True)
    return dict(processor(images=rows[0]["images"], text=prompt, return_tensors="pt"))


@pytest.fixture
def hub(monkeypatch) -> Iterator[LoopbackHub]:
    """A Hub for this process, which read where the real one is when it was started."""
    with LoopbackHub() as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.endpoint)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("transformers.utils.hub._hf_api", None)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        yield hub
