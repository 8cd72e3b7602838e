"""Bodies of requests, and policies that meet every image with one action."""

import base64
import io
from typing import Any

from PIL import Image

from safe_llava.models.safety_labels import RISK_TYPES


def acting(action: str, **fields: Any) -> dict[str, Any]:
    """Changes of a policy after which every image meets this action."""
    return {"types": {name: {"threshold": 0.001} for name in RISK_TYPES}, "actions": {"high": action}, **fields}


def to_data_url(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def image_part(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def text_part(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def chat_body(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"model": "tiny", "messages": [{"role": "user", "content": list(parts)}], "max_tokens": 8, **fields}
