"""How a chat, a data set and a data URL hold an image."""

import base64
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, Image, List, Value
from image_containers import containers

from safe_llava.models.pipeline_safe_llava import NEUTRAL_QUESTION


CONTAINERS = containers()
ENTRANCES = (
    *("by_classification", "by_chat", "by_prompt", "by_guard", "by_audit", "by_asking", "by_answering"),
    *("by_calibration", "by_training", "by_collating", "by_benchmark"),
)


def user(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*parts, {"type": "text", "text": NEUTRAL_QUESTION}]}]


def to_data_url(encoded: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(encoded).decode()}"


def to_dataset(paths: list[Path]) -> Dataset:
    features = {
        "messages": List({"role": Value("string"), "content": Value("string")}),
        "images": List(Image()),
        "safety_level": Value("int64"),
        "safety_type": Value("int64"),
    }
    messages = [{"role": "user", "content": NEUTRAL_QUESTION}, {"role": "assistant", "content": "A circle."}]
    rows = [
        # Half of them as files, half as bytes.
        {"messages": messages, "images": [{"path": str(path), "bytes": path.read_bytes() if number % 2 else None}]}
        | {"safety_level": 0, "safety_type": 6}
        for number, path in enumerate(paths)
    ]
    return Dataset.from_list(rows, features=Features(features))


def encode_chats(processor: Any, images: list[Any]) -> Any:
    return processor.apply_chat_template(
        [user({"type": "image", "image": image}) for image in images],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        processor_kwargs={"padding": True},
    )
