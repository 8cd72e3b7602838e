"""A folder of tiny images and a writer of JSON lines in the authors' format."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name, colour in (("red.png", "red"), ("blue.png", "blue"), ("green.jpg", "green")):
        Image.new("RGB", (64, 64), colour).save(folder / name)
    return folder


@pytest.fixture
def record() -> Callable[..., dict[str, Any]]:
    def make(question: str = "<image>\nWhat is shown?", answer: str = "A red square.", **changes: Any) -> dict:
        sound = {
            "safe_level": 0,
            "safe_type": 6,
            "image": "red.png",
            "conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}],
        }
        return {key: value for key, value in {**sound, **changes}.items() if value is not ...}

    return make


@pytest.fixture
def write_lines(tmp_path: Path) -> Callable[..., Path]:
    def write(*records: Any) -> Path:
        path = tmp_path / "train.jsonl"
        lines = [line if isinstance(line, str) else json.dumps(line) for line in records]
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write
