"""
A synthetic audit: a verdict table of drawn scenes, with the verdicts of a head that errs now and then.

`python -m pytest tests/audit/test_audit_report.py -k self_contained --basetemp demo` leaves its page in `demo/`.
"""

import io
from dataclasses import dataclass
from typing import Any

import imagehash
import numpy as np
import pyarrow as pa
from PIL import Image, ImageEnhance

from safe_llava.audit.report_samples import find_flagged
from safe_llava.miniature.conversations import sample_conversations
from safe_llava.miniature.drawing import draw_scene
from safe_llava.models.safety_labels import SAFE_TYPE_ID, SAFETY_LEVELS, SAFETY_TYPES


ACTIONS = dict(zip(SAFETY_LEVELS, ("answer", "hint", "hint", "refuse")))
REASONS = ("cannot identify image file", "image file is truncated", "decompression bomb")
HOSTILE_KEY = 'album/<script>alert("key")</script>\'"&.jpg'
LONG_KEY = f"album/{'0123456789abcdef' * 12}.jpg"
HOSTILE_TEXT = '<img src=x onerror=alert("text")> <b>Who</b> is this?'
LONG_TEXT = "What stands on the wall behind the three coloured shapes? " * 12

SCHEMA = pa.schema(
    {
        "key": pa.string(),
        "status": pa.string(),
        "reason": pa.string(),
        "notes": pa.list_(pa.string()),
        "text": pa.string(),
        "num_images": pa.int32(),
        "width": pa.int32(),
        "height": pa.int32(),
        "image_hash": pa.string(),
        "level": pa.string(),
        "type": pa.string(),
        "trusted": pa.bool_(),
        "action": pa.string(),
        "types": pa.list_(pa.string()),
        **{f"level_prob_{name}": pa.float32() for name in SAFETY_LEVELS},
        **{f"type_prob_{name}": pa.float32() for name in SAFETY_TYPES},
        "model_version": pa.string(),
        "policy_version": pa.string(),
    }
)


@dataclass
class DrawnAudit:
    table: pa.Table
    images: dict[str, bytes]
    summary: dict[str, Any]

    def read_thumbnails(self, keys: list[str]) -> dict[str, bytes]:
        return {key: self.images[key] for key in keys if key in self.images}


def make_table(*rows: dict[str, Any]) -> pa.Table:
    """A table of these rows; an assessed row that says no more is harmless and passed."""
    return pa.Table.from_pylist([{**_harmless_row(), **row} for row in rows], schema=SCHEMA)


def make_summary(table: pa.Table, **changes: Any) -> dict[str, Any]:
    columns = {name: table[name].to_pylist() for name in ("status", "reason", "action", "level", "type")}
    assessed, flagged = columns["status"].count("assessed"), int(find_flagged(table).sum())
    summary = {
        "source": "drawn scenes",
        "model": "org/safe-llava",
        "model_version": "3f1c0de" * 9,
        "policy_version": "a1b2c3d4" * 8,
        "rows": table.num_rows,
        "assessed": assessed,
        "text_only": columns["status"].count("text only"),
        "unreadable": columns["status"].count("unreadable"),
        "flagged": flagged,
        "keep": assessed - flagged,
        "drop": table.num_rows - assessed + flagged,
        "actions": _count(columns["action"]),
        "levels": _count(columns["level"]),
        "types": _count(columns["type"]),
        "unreadable_reasons": _count(columns["reason"]),
        "not_images": {},
        "cost": {"images_per_second": 1093.4, "decode_share": 0.41, "processes": 2},
        "versions": {"safe_llava": "0.1.0", "torch": "2.13.0"},
    }
    return summary | changes


def draw_audit(num_rows: int = 200, num_unreadable: int = 12) -> DrawnAudit:
    """Scenes with the risk that is drawn in them, some of which are lighter copies of the one before."""
    generator = np.random.default_rng(0)
    rows, images = [], {}
    for index, conversation in enumerate(sample_conversations("test", num_rows, seed=0)):
        key = {0: HOSTILE_KEY, 2: LONG_KEY}.get(index, f"album-{index % 4}/{index:05d}.jpg")
        row = {"key": key, "text": HOSTILE_TEXT if index == 0 else conversation.prompt}
        if conversation.scenes:
            row |= _assess(conversation.safety_level, conversation.safety_type, generator)
            drawn = draw_scene(conversation.scenes[0]).resize((240, 240), Image.Resampling.BICUBIC)
            if index % 40 in (7, 15, 23, 24, 25, 26, 27, 28) and rows[-1]["num_images"]:
                drawn = ImageEnhance.Brightness(Image.open(io.BytesIO(images[rows[-1]["key"]]))).enhance(1.05)
                row |= {name: value for name, value in rows[-1].items() if name not in ("key", "text")}
            images[key] = to_jpeg(drawn)
            image = Image.open(io.BytesIO(images[key]))
            row |= {
                "num_images": len(conversation.scenes),
                "width": 240,
                "height": 240,
                "image_hash": str(imagehash.phash(image)),
            }
        else:
            row |= make_text_only(key)
        rows.append(row)
    rows[3] |= {"text": LONG_TEXT, "notes": ["animated: first frame"]}
    rows[5] |= {"trusted": False, "action": "refuse", "level": "high", "types": []}
    rows[5] |= {f"type_prob_{name}": float("nan") for name in SAFETY_TYPES}
    for index in range(num_unreadable):
        rows.append(make_unreadable(f"broken/{index:03d}.jpg", REASONS[index % 5 % 3]))
    table = make_table(*rows)
    return DrawnAudit(table, images, make_summary(table))


def make_unreadable(key: str, reason: str) -> dict[str, Any]:
    missing = {name: None for name in SCHEMA.names if name not in ("num_images", "model_version", "policy_version")}
    return missing | {"key": key, "status": "unreadable", "reason": reason, "notes": [], "types": []}


def make_text_only(key: str) -> dict[str, Any]:
    return make_unreadable(key, "") | {"status": "text only", "reason": None, "num_images": 0}


def make_flagged(key: str, **changes: Any) -> dict[str, Any]:
    """A row of high risk that the policy refuses."""
    probs = _probs("level", [0.02, 0.03, 0.05, 0.9]) | _probs("type", [0.01, 0.01, 0.01, 0.01, 0.9, 0.02, 0.04])
    verdict = {"level": "high", "type": "privacy", "action": "refuse", "types": ["privacy"]}
    return {"key": key, **probs, **verdict, **changes}


def _harmless_row() -> dict[str, Any]:
    return {
        "status": "assessed",
        "reason": None,
        "notes": [],
        "text": "What is in this picture?",
        "num_images": 1,
        "width": 64,
        "height": 48,
        "image_hash": None,
        "level": "none",
        "type": "safe",
        "trusted": True,
        "action": "answer",
        "types": [],
        **_probs("level", [0.9, 0.05, 0.03, 0.02]),
        **_probs("type", [0.01, 0.01, 0.01, 0.01, 0.01, 0.01, 0.94]),
        "model_version": "3f1c0de",
        "policy_version": "a1b2c3d4",
    }


def _assess(level: int, type_: int, generator: np.random.Generator) -> dict[str, Any]:
    level_probs, type_probs = (
        _soften(truth, number, generator)
        for truth, number in ((level, len(SAFETY_LEVELS)), (type_, len(SAFETY_TYPES)))
    )
    predicted_level, predicted_type = int(level_probs.argmax()), int(type_probs.argmax())
    is_risky = predicted_level > 0 and predicted_type != SAFE_TYPE_ID
    return {
        "level": SAFETY_LEVELS[predicted_level],
        "type": SAFETY_TYPES[predicted_type],
        "action": ACTIONS[SAFETY_LEVELS[predicted_level]] if is_risky else "answer",
        "types": [SAFETY_TYPES[predicted_type]] if is_risky else [],
        **_probs("level", level_probs.tolist()),
        **_probs("type", type_probs.tolist()),
    }


def _soften(truth: int, number: int, generator: np.random.Generator) -> np.ndarray:
    logits = generator.normal(0, 1.3, number) + 5 * (np.arange(number) == truth)
    return np.exp(logits) / np.exp(logits).sum()


def _probs(kind: str, values: list[float]) -> dict[str, float]:
    names = {"level": SAFETY_LEVELS, "type": SAFETY_TYPES}
    return {f"{kind}_prob_{name}": value for name, value in zip(names[kind], values)}


def to_jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _count(values: list[str | None]) -> dict[str, int]:
    present = [value for value in values if value is not None]
    return {value: present.count(value) for value in sorted(set(present))}
