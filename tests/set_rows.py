"""Small sets of rows whose images differ as photographs do, in every form that a set may have."""

import io
from typing import Any

import numpy as np
from datasets import Dataset, Features, Image, List, Value
from PIL import Image as PILImage

from safe_llava.data.llava_tables import MESSAGE_FEATURE


TURNS = List({"role": Value("string"), "content": Value("string")})
FORMS = ("parts", "strings", "pairs", "pairs of strings", "pairs with an answer in the prompt")
"""How the conversations of a set may be held, all but as plain prompts."""


def make_image(seed: int, size: int = 48) -> PILImage.Image:
    """Blots of colour, other ones for every seed."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return PILImage.fromarray(noise).resize((size, size), PILImage.Resampling.BICUBIC)


def encode(image: PILImage.Image, kind: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def talk(row: dict[str, Any], num_images: int, form: str) -> dict[str, Any]:
    """A conversation of two questions, with its images before the first, in one of `FORMS` or as plain text."""
    question, answer = row.get("question", "What ?"), row.get("answer", "A blot .")
    turns = [("user", question), ("assistant", "Earlier ."), ("user", row.get("later", "And now ?"))]
    turns.append(("assistant", answer))
    if form == "plain":
        return {"prompt": "USER: " + "<image>" * num_images + f"\n{question} ASSISTANT:", "completion": f" {answer}"}
    if "strings" in form:
        messages: list[dict[str, Any]] = [{"role": role, "content": text} for role, text in turns]
    else:
        messages = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
        messages[0]["content"] = [{"type": "image", "text": None}] * num_images + messages[0]["content"]
    if not form.startswith("pairs"):
        return {"messages": messages}
    length = 3 if form.endswith("in the prompt") else 1
    return {"prompt": messages[:length], "completion": messages[length:]}


def make_set(*rows: dict[str, Any], form: str = "parts") -> Dataset:
    """
    A set as it is loaded. A row may have `question`, `later` (the second), `answer`, `images` (seeds, or encoded),
    `level`, `type`, and `levels` and `types`, the sets of possible ones.
    """
    made = []
    for row in rows:
        images = row.get("images", [0])
        encoded = [encode(make_image(image)) if isinstance(image, int) else image for image in images]
        made.append(
            {
                **talk(row, len(images), form),
                "images": [{"bytes": image, "path": None} for image in encoded],
                "safety_level": row.get("level", 0),
                "safety_type": row.get("type", 6),
            }
        )
        if any("levels" in other for other in rows):
            made[-1] |= {"possible_levels": row.get("levels", []), "possible_types": row.get("types", [])}
    text = Value("string") if form == "plain" else TURNS if "strings" in form else MESSAGE_FEATURE
    features = {name: text for name in ("messages", "prompt", "completion") if name in made[0]}
    features |= {"images": List(Image()), "safety_level": Value("int64"), "safety_type": Value("int64")}
    if "possible_levels" in made[0]:
        features |= {"possible_levels": List(Value("int64")), "possible_types": List(Value("int64"))}
    return Dataset.from_list(made, features=Features(features))
