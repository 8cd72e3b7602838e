"""The exported guard at work, on onnxruntime, tokenizers, jinja2, Pillow and numpy: no torch, no transformers."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tokenizers import Tokenizer

from .array_verdict import ArrayVerdict, Separate, softmax
from .chat_text import ChatText
from .encoded_prompt import EncodedPrompt
from .image_reading import read_image
from .onnx_folder import FILES, onnx_path, read_settings, require_guarantee_of_folder, require_same
from .onnx_pixels import to_pixel_values
from .onnx_session import TOLERANCE, answer_probes, find_image_shape, measure_deviation, open_session
from .own_text import find_repeated_text
from .prompt_template import PromptTemplate
from .safety_labels import SAFE_TYPE_ID, SAFETY_LEVELS
from .safety_policy import SafetyPolicy
from .sample_chats import as_placeholders, find_images, require_known_parts, to_message


class OnnxGuard:
    """
    A guard that `safe-llava export` wrote. What is changed but its policy, is not loaded.

    Args:
        folder (`str` or `Path`): the folder beside the ONNX file.
        safety_policy (`dict`, *optional*): fields to change in the policy that was exported.
        num_threads (`int`, *optional*, defaults to 0): of onnxruntime; 0 takes every core.

    Raises:
        ValueError: if folder and ONNX file are not whole, or not those that were exported, or a policy is invalid.

    Example:

    ```python
    >>> guard = OnnxGuard("guard")
    >>> guard("image.png")["level"]
    'none'
    >>> guard([{"image": "image.png", "text": "Who is this?"}, "other.png"])[0]["decision"]["action"]
    'hint'
    ```"""

    device = "cpu"

    def __init__(self, folder: str | Path, safety_policy: dict[str, Any] | None = None, num_threads: int = 0):
        self.folder = Path(folder)
        self.settings = read_settings(self.folder)
        stored = require_guarantee_of_folder(SafetyPolicy.from_dict(self.settings["policy"]), self.settings)
        self.policy = stored.updated(safety_policy or {})
        self.special_texts = ChatText(set(self.settings["special_tokens"]))
        encoded = require_same(onnx_path(self.folder, self.settings), self.settings["files"][self.settings["onnx"]])
        self._session = open_session(encoded, num_threads)
        self._tokenizer = Tokenizer.from_file(str(self.folder / FILES[0]))
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._template = PromptTemplate(
            (self.folder / FILES[1]).read_text(encoding="utf-8"), self.settings["template_variables"]
        )
        deviation = measure_deviation(
            answer_probes(self._session, self.settings["vocab_size"]), self.settings["known_answers"]
        )
        self._distrust = None
        if deviation > TOLERANCE:
            self._distrust = (
                f"it does not answer on this machine as where it was exported (it deviates by {deviation:.2g}, at "
                f"most {TOLERANCE})"
            )

    def __call__(self, inputs: Any, batch_size: int = 32) -> dict[str, Any] | list[dict[str, Any]]:
        """
        Assesses one sample or a list of samples, as the pipeline "safety-classification".

        Args:
            inputs (`Any` or `list`):
                A sample is an image, as `read_image` takes it; or a dictionary with any of `image`, `images` and
                `text`, the question; or a chat, a list of messages.
            batch_size (`int`, *optional*, defaults to 32): samples that are assessed together.

        Returns:
            `dict` or `list[dict]`: of each sample `level`, `type`, `level_probs`, `type_probs`, `has_image`, `trusted`
            and `decision`, what the pipeline gives.

        Raises:
            UnreadableImageError: if an image cannot be read.
            ValueError: if a sample is none, or is longer than the model takes.
        """
        if not isinstance(inputs, list) or _is_chat(inputs):
            return self._assess_samples([inputs])[0]
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be 1 or more, got {batch_size}.")
        results: list[dict[str, Any]] = []
        for start in range(0, len(inputs), batch_size):
            results += self._assess_samples(inputs[start : start + batch_size])
        return results

    def _assess_samples(self, samples: list[Any]) -> list[dict[str, Any]]:
        verdict = self.assess([*map(self._encode_sample, samples)]).with_temperature(**self.policy.temperature)
        decisions = verdict.decide(self.policy)
        return [row | {"decision": asdict(chosen)} for row, chosen in zip(verdict.to_list(), decisions)]

    @property
    def weights(self) -> str:
        """By what a promise and a log know these weights again: of an int8 guard others than of its model."""
        return str(self.settings["weights"])

    @property
    def cuts_images(self) -> bool:
        """Whether the model sees an image as several tiles; this guard sees the base tile."""
        return self.settings["rows_of_image"] is None

    @property
    def max_tokens(self) -> int:
        """Tokens that the language model reads."""
        return int(self.settings["max_length"])

    @property
    def longest_token(self) -> int:
        """Characters of the longest token."""
        return max(map(len, self._tokenizer.get_vocab()))

    @property
    def version(self) -> str:
        """Changes with all that a verdict rests on."""
        return str(self.settings["digest"])[:12]

    def enforce(self, policy: SafetyPolicy) -> None:
        """Raises a `ValueError` where a policy has the guarantee of another guard."""
        require_guarantee_of_folder(policy, self.settings)

    def explain_distrust(self) -> str | None:
        """Why no verdict of this guard can be trusted, or `None`."""
        return self._distrust

    def count_tokens(self, text: str) -> int:
        """How many tokens a text becomes."""
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def count_hint(self, text: str) -> int:
        """How many tokens a hint becomes behind a question."""
        return self.count_tokens(f" {text}")

    def ran_out_of_memory(self, error: Exception) -> bool:
        """Whether fewer prompts at once may do."""
        return isinstance(error, MemoryError) or "allocate memory" in str(error)

    def render(self, chats: Sequence[list[dict[str, Any]]]) -> list[str]:
        """Chats as prompts for the assistant's turn, with a placeholder for each image."""
        return [self._template.render(self.special_texts.neutralize(as_placeholders(chat))) for chat in chats]

    def encode_images(self, images: Sequence[Image.Image]) -> dict[str, Any]:
        """The RGB images of one prompt as the vision tower takes them; several are seen otherwise by some models."""
        settings, alone = self.settings["image_processor"], len(images) == 1
        return {"pixel_values": np.stack([to_pixel_values(image, settings, alone) for image in images])}

    def encode(self, prompts: Sequence[str], images: Sequence[dict[str, Any]]) -> list[EncodedPrompt]:
        """
        Prompts as tokens, each with its images.

        Args:
            prompts (`Sequence[str]`): what `render` gave.
            images (`Sequence[dict]`): of each prompt what `encode_images` gave; empty where there is no image.

        Raises:
            ValueError: if a prompt has more or fewer placeholders than images.
        """
        bos = self.settings["template_variables"].get("bos_token")
        encoded = []
        for prompt, pixels in zip(prompts, images, strict=True):
            ids = self._tokenizer.encode(prompt, add_special_tokens=not (bos and prompt.startswith(bos))).ids
            num_images = len(pixels["pixel_values"]) if pixels else 0
            if (found := ids.count(self.settings["image_token_id"])) != num_images:
                raise ValueError(f"A prompt has {found} placeholders of images, and {num_images} images.")
            rows = self.settings["rows_of_image"] or 1
            encoded.append(EncodedPrompt(np.array(ids, dtype=np.int64), pixels, (rows - 1) * num_images))
        return encoded

    def assess(self, prompts: Sequence[EncodedPrompt]) -> ArrayVerdict:
        """
        The verdict on each prompt, at temperature 1: of one with several images the gravest of all assessments.

        Args:
            prompts (`Sequence[EncodedPrompt]`): what `encode` gave.
        """
        length = max(map(len, (prompt.input_ids for prompt in prompts)))
        ids = np.full((len(prompts), length), self.settings["pad_token_id"], dtype=np.int64)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt.input_ids)] = prompt.input_ids
        is_image = ids == self.settings["image_token_id"]
        lengths = np.array([[len(prompt.input_ids)] for prompt in prompts])
        is_text = ~is_image & (np.arange(length) < lengths)
        numbers = np.array([prompt.num_images for prompt in prompts])
        rows = np.repeat(np.arange(len(prompts)), numbers)
        images = np.arange(len(rows))
        # Behind the rows as a whole come the images alone of rows with several.
        alone = np.flatnonzero(numbers[rows] > 1)
        own_text = is_text[rows[alone]]
        for number, of_row in enumerate(rows[alone]):
            own_text[number, find_repeated_text(ids[of_row].tolist(), is_image[of_row], is_text[of_row])] = False
        raw, levels, types, is_decided, trusted, *novelty = self._run(
            np.concatenate([ids, ids[rows[alone]]]),
            np.concatenate([is_text, own_text]),
            [prompt.images["pixel_values"] for prompt in prompts if prompt.images],
            np.concatenate([images, images[alone]]),
            np.concatenate([rows, len(ids) + np.arange(len(alone))]),
        )
        every = np.concatenate([np.arange(len(ids)), rows[alone]])
        best = np.arange(len(ids))
        for several_row in np.flatnonzero(numbers > 1):
            found = np.flatnonzero(every == several_row)
            best[several_row] = found[_find_gravest(raw[found], types[found], is_decided[found])]
        several = numbers[every] > 1
        is_known = trusted[best] & (self._distrust is None)
        strangeness = novelty[0][: len(ids)] if novelty and self._distrust is None else None
        if strangeness is not None:
            is_known &= ~((numbers > 0) & ~(strangeness <= 1))
        return ArrayVerdict(
            levels[best],
            types[best],
            has_image=numbers > 0,
            trusted=is_known,
            separate=Separate(every[several], levels[several], types[several]),
            novelty=strangeness,
        )

    def _run(
        self,
        ids: np.ndarray,
        text_mask: np.ndarray,
        pixels: list[np.ndarray],
        images: np.ndarray,
        rows: np.ndarray,
    ) -> list[np.ndarray]:
        num_rows = len(ids)
        if not pixels:  # The graph takes at least one look at an image: one of a row that nobody asks for.
            ids, text_mask = np.concatenate([ids, ids[:1]]), np.concatenate([text_mask, text_mask[:1]])
            pixels = [np.zeros((1, *find_image_shape(self._session)), dtype=np.float32)]
            images, rows = np.zeros(1, dtype=np.int64), np.array([len(ids) - 1])
        inputs = {"input_ids": ids, "text_mask": text_mask, "pixel_values": np.concatenate(pixels)}
        outputs = self._session.run(None, {**inputs, "images": images, "image_rows": rows})
        return [values[:num_rows] for values in outputs]

    def _encode_sample(self, sample: Any) -> EncodedPrompt:
        if _is_chat(sample):
            require_known_parts(sample)
        chat = sample if _is_chat(sample) else [to_message(sample)]
        images = [read_image(image).image for image in find_images(chat)]
        (encoded,) = self.encode(self.render([chat]), [self.encode_images(images) if images else {}])
        if len(encoded.input_ids) > self.max_tokens:
            raise ValueError(
                f"The question has {len(encoded.input_ids)} tokens, and the model takes {self.max_tokens}."
            )
        return encoded


def _is_chat(sample: Any) -> bool:
    return isinstance(sample, list) and bool(sample) and isinstance(sample[0], dict) and "role" in sample[0]


def _find_gravest(raw: np.ndarray, types: np.ndarray, is_decided: np.ndarray) -> int:
    """As [`SeparateAssessments.find_gravest`], for one row."""
    level, is_safe = raw.argmax(axis=1), types.argmax(axis=1) == SAFE_TYPE_ID
    found = ((level > 0) & ~is_safe) * len(SAFETY_LEVELS)
    gravity = np.where(is_decided, found + level + 0.5 * (1 - softmax(raw)[:, 0]), np.inf)
    return int(gravity.argmax())
