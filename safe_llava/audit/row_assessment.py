"""The guard at work: rows are decoded in threads, then assessed in batches."""

import hashlib
import time
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from ..guards.open_guard import open_guard
from ..models.array_verdict import ArrayVerdict
from ..models.image_crops import add_crops
from ..models.image_reading import UnreadableImageError, read_image
from ..models.safety_labels import DISTRUST
from ..models.safety_policy import SafetyPolicy
from ..models.safety_texts import NEUTRAL_QUESTION
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
        images (`dict`): `pixel_values` of its images, and what else the processor says of them.
        facts (`dict`): what the verdict table says of the row beside the verdict: `width`, `height`, `notes`, ...
        reason (`str`, *optional*): why it cannot be assessed.
        seconds (`float`): processor time that decoding took.
    """

    row: AuditRow
    images: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None
    seconds: float = 0.0

    @property
    def status(self) -> str:
        """What becomes of the row: "assessed", "text only" or "unreadable"."""
        return UNREADABLE if self.reason is not None else ASSESSED if self.row.images else TEXT_ONLY


class RowAssessor:
    """
    A guard with its policy.

    Args:
        model (`str`): a SafeLLaVA or guard checkpoint, a folder or a Hub id; or the folder of an exported guard.
        policy (`dict`, *optional*): fields to change in the stored policy.
        device (`str`, *optional*): where to assess. Defaults to the accelerator of this process, or the CPU.
        dtype (`str`, *optional*, defaults to `"auto"`): the weights' type; "auto" keeps the checkpoint's.
        tiles (`int`, *optional*): crops a side of each image that are assessed beside it.

    Raises:
        ValueError: if there is no guard at `model`, the policy is invalid, there is no such device, or `tiles` has no
            effect.
    """

    def __init__(
        self,
        model: str,
        policy: dict[str, Any] | None = None,
        device: str | None = None,
        dtype: str = "auto",
        tiles: int | None = None,
    ):
        # One thread each: sums over several round otherwise. More cores are used by more processes.
        self.guard = open_guard(model, device, dtype, onnx_threads=1)
        self.policy = (self.guard.policy or SafetyPolicy()).updated(policy or {})
        self.model_version = self.guard.version
        self.tiles = tiles
        self._see([Image.new("RGB", (8, 8))])  # Refused here, not with the first row.
        self._longest_token = self.guard.longest_token
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
            encoded = self.guard.encode_images(self._see([loaded.image for loaded in images]))
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
        except Exception as error:
            if len(batch) == 1 or not self.guard.ran_out_of_memory(error):
                raise
            half = len(batch) // 2
            return self.assess(batch[:half]) + self.assess(batch[half:])
        decisions = verdict.decide(self.policy)
        return [
            {"level": row["level"], "type": row["type"], "trusted": row["trusted"]}
            | {"action": decision.action, "types": list(decision.types)}
            | dict(zip(LEVEL_COLUMNS, row["level_probs"].values()))
            | dict(zip(TYPE_COLUMNS, row["type_probs"].values()))
            | ({} if row["trusted"] else {"notes": [*prepared.facts.get("notes", []), say_distrust(row["distrust"])]})
            for prepared, row, decision in zip(batch, verdict.to_list(), decisions)
        ]

    def _see(self, images: list[Image.Image]) -> list[Image.Image]:
        return add_crops(images, self.tiles, self.guard.cuts_images)

    def _require_short(self, text: str | None) -> None:
        """A text that is surely too long is not even cut into tokens, for that alone could take for ever."""
        most = self.guard.max_tokens
        if text is None or len(text.encode()) <= most:
            return
        counted = "more than " if len(text) > most * self._longest_token else ""
        size = most if counted else self.guard.count_tokens(text)
        if size > most or counted:
            raise UnreadableImageError(
                f"the question has {counted}{size} tokens, and the model takes {most}", "question too long"
            )

    def find_batch_size(self) -> int:
        """The largest batch, of images with a neutral question, that memory holds."""
        size = LARGEST_BATCH.get(self.guard.device, LARGEST_BATCH_ON_ACCELERATORS)
        blank = self.guard.encode_images(self._see([Image.new("RGB", (8, 8))]))
        while True:
            try:
                self._assess([PreparedRow(AuditRow(""), blank)] * size)
                return size
            except Exception as error:
                if size == 1 or not self.guard.ran_out_of_memory(error):
                    raise
                size //= 2

    def _assess(self, batch: list[PreparedRow]) -> ArrayVerdict:
        images = [prepared.images for prepared in batch]
        asked = [(prepared.row.text or NEUTRAL_QUESTION, len(prepared.images["pixel_values"])) for prepared in batch]
        # Images alone are all asked the same.
        different = list(dict.fromkeys(asked))
        rendered = dict(zip(different, self.guard.render([_chat(*each) for each in different])))
        verdict = self.guard.assess(self.guard.encode([rendered[each] for each in asked], images))
        return verdict.with_temperature(**self.policy.temperature)


def say_distrust(reason: str) -> str:
    """The note on a row whose verdict is not trusted for one of [`DISTRUST`]."""
    return f"not trusted: {DISTRUST[reason]}"


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
