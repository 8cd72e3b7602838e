"""The exported guard at work, on onnxruntime, tokenizers, jinja2, Pillow and numpy: no torch, no transformers."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from .chat_text import ChatText
from .image_reading import read_image
from .onnx_pixels import to_pixel_values
from .own_text import find_repeated_text
from .safety_labels import SAFE_TYPE_ID, SAFETY_LEVELS, SAFETY_TYPES
from .safety_policy import SafetyDecision, SafetyPolicy


class _GenerationTag(Extension):
    """`{% generation %}` of transformers' templates marks the answer for training; here its text is enough."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Any) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class OnnxGuard:
    """
    A guard that `safe-llava export` wrote.

    Args:
        folder (`str` or `Path`): the folder beside the ONNX file.
        safety_policy (`dict`, *optional*): fields to change in the policy that was exported.
        num_threads (`int`, *optional*, defaults to 0): of onnxruntime; 0 takes every core.

    Raises:
        ValueError: if the ONNX file is not the one that was exported with the folder.

    Example:

    ```python
    >>> guard = OnnxGuard("guard")
    >>> guard([{"image": "image.png", "text": "Who is this?"}])[0]["decision"]["action"]
    'hint'
    ```"""

    def __init__(self, folder: str | Path, safety_policy: dict[str, Any] | None = None, num_threads: int = 0):
        self.folder = Path(folder)
        self.settings: dict[str, Any] = json.loads((self.folder / "guard.json").read_text(encoding="utf-8"))
        path = self.folder.parent / self.settings["onnx"]
        encoded = path.read_bytes()
        if hashlib.sha256(encoded).hexdigest() != self.settings["sha256"]:
            raise ValueError(f"{path} is not the file that was exported with {self.folder}. Export the guard again.")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        self._session = onnxruntime.InferenceSession(encoded, options, providers=["CPUExecutionProvider"])
        self.policy = SafetyPolicy.from_dict(self.settings["policy"]).updated(safety_policy or {})
        self._tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._chat_text = ChatText(set(self.settings["special_tokens"]))
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_GenerationTag, loopcontrols]
        )
        environment.filters["tojson"] = lambda value, **options: json.dumps(value, ensure_ascii=False, **options)
        environment.globals["raise_exception"] = _raise
        self._template = environment.from_string((self.folder / "chat_template.jinja").read_text(encoding="utf-8"))

    def __call__(self, samples: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """
        Assesses samples together.

        Args:
            samples (`Sequence[dict]`): each with `image` or `images`, as `read_image` takes them, and optionally
                `text`, the question.

        Returns:
            `list[dict]`: of each sample `level`, `type`, `level_probs`, `type_probs`, `trusted` and `decision`, what
            the pipeline "safety-classification" gives.

        Raises:
            UnreadableImageError: if an image cannot be read.
            ValueError: if a sample has no image, or its question is longer than the model takes.
        """
        prompts: list[list[int]] = []
        pixels: list[np.ndarray] = []
        looks: list[tuple[int, int]] = []
        for number, sample in enumerate(samples):
            images = sample.get("images") or [sample["image"]]
            prompts.append(self._encode(sample.get("text") or self.settings["neutral_question"], len(images)))
            looks += [(len(pixels) + place, number) for place in range(len(images))]
            pixels += [to_pixel_values(read_image(image).image, self.settings["image_processor"]) for image in images]
        length = max(map(len, prompts))
        ids = np.array([prompt + [self.settings["pad_token_id"]] * (length - len(prompt)) for prompt in prompts])
        is_image = ids == self.settings["image_token_id"]
        is_text = ~is_image & (np.arange(length) < np.array([[len(prompt)] for prompt in prompts]))
        image, row = np.array(looks).T
        # Behind the rows as a whole come the images alone of rows with several.
        alone = np.flatnonzero(np.bincount(row)[row] > 1)
        own_text = is_text[row[alone]]
        for number, of_row in enumerate(row[alone]):
            own_text[number, find_repeated_text(ids[of_row].tolist(), is_image[of_row], is_text[of_row])] = False
        outputs = self._session.run(
            None,
            {
                "input_ids": np.concatenate([ids, ids[row[alone]]]),
                "text_mask": np.concatenate([is_text, own_text]),
                "pixel_values": np.stack(pixels),
                "images": np.concatenate([image, image[alone]]),
                "image_rows": np.concatenate([row, len(ids) + np.arange(len(alone))]),
            },
        )
        rows = np.concatenate([np.arange(len(ids)), row[alone]])
        return [self._judge(*(values[rows == number] for values in outputs)) for number in range(len(ids))]

    def _encode(self, text: str, num_images: int) -> list[int]:
        content = [*[{"type": "image"}] * num_images, {"type": "text", "text": text}]
        chat = self._chat_text.neutralize([{"role": "user", "content": content}])
        prompt = self._template.render(
            messages=chat, add_generation_prompt=True, **self.settings["template_variables"]
        )
        bos = self.settings["template_variables"].get("bos_token")
        ids = self._tokenizer.encode(prompt, add_special_tokens=not (bos and prompt.startswith(bos))).ids
        if len(ids) > self.settings["max_length"]:
            raise ValueError(f"The question has {len(ids)} tokens, and the model takes {self.settings['max_length']}.")
        return list(ids)

    def _judge(
        self, raw: np.ndarray, levels: np.ndarray, types: np.ndarray, is_decided: np.ndarray, trusted: np.ndarray
    ) -> dict[str, Any]:
        """The verdict on a row, from the logits of all that was looked at in it: the gravest of these."""
        best = 0 if len(raw) == 1 else _find_gravest(raw, types, is_decided)
        level_probs = _softmax(levels / self.policy.temperature["level"])
        type_probs = _softmax(types / self.policy.temperature["type"])
        level = [int(index) for index in levels.argmax(axis=1)]
        verdict = len(SAFETY_LEVELS) - 1 if not trusted[best] else level[best]
        decisions = [self.policy.decide(verdict, type_probs[best].tolist(), bool(trusted[best]))]
        if len(raw) > 1:
            decisions += [self.policy.decide(index, probs.tolist()) for index, probs in zip(level, type_probs)]
        return {
            "level": SAFETY_LEVELS[verdict],
            "type": SAFETY_TYPES[int(types[best].argmax())],
            "level_probs": dict(zip(SAFETY_LEVELS, level_probs[best].tolist())),
            "type_probs": dict(zip(SAFETY_TYPES, type_probs[best].tolist())),
            "trusted": bool(trusted[best]),
            "decision": asdict(max(decisions, key=SafetyDecision.strictness)),
        }


def _find_gravest(raw: np.ndarray, types: np.ndarray, is_decided: np.ndarray) -> int:
    """As [`SeparateAssessments.find_gravest`], for one row."""
    level, is_safe = raw.argmax(axis=1), types.argmax(axis=1) == SAFE_TYPE_ID
    found = ((level > 0) & ~is_safe) * len(SAFETY_LEVELS)
    gravity = np.where(is_decided, found + level + 0.5 * (1 - _softmax(raw)[:, 0]), np.inf)
    return int(gravity.argmax())


def _softmax(logits: np.ndarray) -> np.ndarray:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def _raise(message: str) -> None:
    raise ValueError(message)
