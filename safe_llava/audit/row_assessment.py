"""The guard at work: rows are decoded in threads, then assessed in batches."""

import hashlib
import re
import time
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate.utils import find_executable_batch_size
from PIL import Image
from transformers import AutoModelForImageClassification, AutoProcessor, PreTrainedModel

from ..checkpoints import read_config
from ..data.pixel_table import PixelTable
from ..models.image_batches import join_images
from ..models.image_reading import UnreadableImageError, read_image
from ..models.pipeline_safe_llava import NEUTRAL_QUESTION
from ..models.safety_policy import SafetyPolicy
from ..models.safety_verdict import SafetyVerdict
from .audit_row import AuditRow
from .verdict_table import ASSESSED, LEVEL_COLUMNS, TEXT_ONLY, TYPE_COLUMNS, UNREADABLE


LARGEST_BATCH = {"cpu": 32}
"""Rows assessed at once where memory allows; a CPU gains nothing by more."""
LARGEST_BATCH_ON_ACCELERATORS = 256
LARGEST_RATIO = 200
"""By which the longer side of an image may exceed the shorter."""


@dataclass(frozen=True)
class PreparedRow:
    """
    A row that is ready to be assessed, or the reason why it cannot be.

    Args:
        row (`AuditRow`): the row.
        images (`dict[str, torch.Tensor]`): `pixel_values` of its images, and what else the processor says of them.
        facts (`dict`): what the verdict table says of the row beside the verdict: `width`, `height`, `notes`, ...
        reason (`str`, *optional*): why it cannot be assessed.
        seconds (`float`): processor time that decoding took.
    """

    row: AuditRow
    images: dict[str, torch.Tensor] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    seconds: float = 0.0

    @property
    def status(self) -> str:
        """What becomes of the row: "assessed", "text only" or "unreadable"."""
        return UNREADABLE if self.reason is not None else ASSESSED if self.row.images else TEXT_ONLY


class RowAssessor:
    """
    A guard with its processor and policy.

    Args:
        model (`str`): a SafeLLaVA or guard checkpoint: a folder or a Hub id.
        policy (`dict`, *optional*): fields to change in the stored policy.
        device (`str`, *optional*, defaults to `"cpu"`): where to assess.
        dtype (`str`, *optional*, defaults to `"auto"`): the weights' type; "auto" keeps the checkpoint's.

    Raises:
        ValueError: if there is no SafeLLaVA at `model`, the policy is invalid, or there is no such device.
    """

    def __init__(self, model: str, policy: dict[str, Any] | None = None, device: str = "cpu", dtype: str = "auto"):
        read_config(model)
        self.model = AutoModelForImageClassification.from_pretrained(model, dtype=dtype).eval()
        try:
            self.model.to(device)
        except (AssertionError, RuntimeError) as error:  # Torch raises the one without CUDA, the other beyond it.
            raise ValueError(f"the device {device!r} cannot be used: {str(error).splitlines()[0]}") from error
        self.processor = AutoProcessor.from_pretrained(model)
        self.model.check_ready(self.processor)
        self.policy = (self.model.safety_policy or SafetyPolicy()).updated(policy or {})
        self.model_version = _fingerprint(self.model, self.processor)
        self._pixel_table = PixelTable.of(self.processor.image_processor)
        self._longest_token = max(map(len, self.processor.tokenizer.get_vocab()))
        self.policy_version = hashlib.sha256(self.policy.to_json_string().encode()).hexdigest()[:12]

    def prepare(self, row: AuditRow) -> PreparedRow:
        """Decodes the images of a row. Safe to call from several threads."""
        # Not imported above, for it is an extra that only audits need.
        from imagehash import phash

        start = time.thread_time()
        if row.problem is not None:
            return PreparedRow(row, reason=row.problem)
        if not row.images:
            return PreparedRow(row)
        try:
            self._require_short(row.text)
            images = [read_image(loaded) for loaded in row.images]
            for loaded in images:
                _require_broad(loaded.image)
            encoded = self._encode([loaded.image for loaded in images])
        except UnreadableImageError as error:
            return PreparedRow(row, reason=f"{error.kind}: {error}", seconds=time.thread_time() - start)
        except TypeError as error:
            return PreparedRow(row, reason=f"not an image: {error}", seconds=time.thread_time() - start)
        first = images[0].image
        notes = [note for loaded in images for note in loaded.notes]
        size = {"width": first.width, "height": first.height}
        facts = {"notes": notes, **size, "image_hash": str(phash(first))}
        return PreparedRow(row, encoded, facts, seconds=time.thread_time() - start)

    def assess(self, batch: list[PreparedRow]) -> list[dict[str, Any]]:
        """
        Assesses rows together, or in halves where memory does not suffice.

        Args:
            batch (`list[PreparedRow]`): rows without a `reason`.

        Returns:
            `list[dict]`: for each row the columns of the verdict table that hold the verdict and the decision.
        """
        try:
            verdict = self._assess(batch)
        except torch.OutOfMemoryError:
            if len(batch) == 1:
                raise
            half = len(batch) // 2
            return self.assess(batch[:half]) + self.assess(batch[half:])
        decisions = self.model.decide(verdict, self.policy)
        return [
            {"level": row["level"], "type": row["type"], "trusted": row["trusted"]}
            | {"action": decision.action, "types": list(decision.types)}
            | dict(zip(LEVEL_COLUMNS, row["level_probs"].values()))
            | dict(zip(TYPE_COLUMNS, row["type_probs"].values()))
            for row, decision in zip(verdict.to_list(), decisions)
        ]

    def _require_short(self, text: str | None) -> None:
        """A text that is surely too long is not even cut into tokens, for that alone could take for ever."""
        most = self.model.config.text_config.max_position_embeddings
        if text is None or len(text.encode()) <= most:
            return
        counted = "more than " if len(text) > most * self._longest_token else ""
        size = most if counted else len(self.processor.tokenizer(text, add_special_tokens=False)["input_ids"])
        if size > most or counted:
            raise UnreadableImageError(
                f"the question has {counted}{size} tokens, and the model takes {most}", "question too long"
            )

    def find_batch_size(self) -> int:
        """The largest batch, of images with a neutral question, that memory holds."""
        largest = LARGEST_BATCH.get(self.model.device.type, LARGEST_BATCH_ON_ACCELERATORS)
        blank = self._encode([Image.new("RGB", (8, 8))])

        def try_batch(batch_size: int) -> int:
            self._assess([PreparedRow(AuditRow(""), blank)] * batch_size)
            return batch_size

        return find_executable_batch_size(try_batch, starting_batch_size=largest)()

    def _encode(self, images: list[Image.Image]) -> dict[str, torch.Tensor]:
        """The images of one row, which some processors cut otherwise than images of several rows."""
        if self._pixel_table is not None:
            return self._pixel_table.encode(images)
        return dict(self.processor.image_processor([images], return_tensors="pt"))

    def _assess(self, batch: list[PreparedRow]) -> SafetyVerdict:
        numbers = [len(prepared.images["pixel_values"]) for prepared in batch]
        asked = [(prepared.row.text or NEUTRAL_QUESTION, number) for prepared, number in zip(batch, numbers)]
        # Images alone are all asked the same.
        different = list(dict.fromkeys(asked))
        chats = [_chat(*each) for each in different]
        rendered = self.processor.apply_chat_template(chats, add_generation_prompt=True, tokenize=False)
        prompts = list(map(dict(zip(different, rendered)).__getitem__, asked))
        images: dict[str, Any] = join_images([prepared.images for prepared in batch])
        # Users' texts hold no such token any more: the processor's chat template has seen to that.
        placeholders = (self.processor.replace_image_token(images, index) for index in range(sum(numbers)))
        token = re.escape(self.processor.image_token)
        prompts = [re.sub(token, lambda _: next(placeholders), prompt) for prompt in prompts]
        images["pixel_values"] = images["pixel_values"].to(self.model.device, self.model.dtype)
        inputs = self.processor.tokenizer(prompts, padding=True, return_tensors="pt").to(self.model.device)
        prompt = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        return self.model.assess(**prompt, **images, safety_policy=self.policy)


def _require_broad(image: Image.Image) -> None:
    """Scaled to the tower's height, a strip of an image would not fit into memory."""
    if max(image.size) > LARGEST_RATIO * min(image.size):
        raise UnreadableImageError(
            f"the image has {image.width} x {image.height} pixels; one side may be {LARGEST_RATIO} times the other",
            "too narrow",
        )


def _chat(text: str, num_images: int) -> list[dict[str, Any]]:
    images: list[dict[str, Any]] = [{"type": "image"}] * num_images
    return [{"role": "user", "content": [*images, {"type": "text", "text": text}]}]


def _fingerprint(model: PreTrainedModel, processor: Any) -> str:
    """Changes with every weight that a verdict rests on, with its type and with the preprocessing."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    digest.update(processor.image_processor.to_json_string().encode())
    digest.update(str(processor.chat_template).encode())
    return digest.hexdigest()[:12]
