"""What a model's safety head says about labelled rows, before any temperature."""

from typing import Any

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm

from ..data import UNLABELLED
from ..data.encoded_images import keep_images_encoded
from ..data.label_parsing import SET_COLUMNS, class_or_some_risk
from ..guards.assessing_guard import AssessingGuard
from ..models.array_verdict import Separate
from ..models.encoded_prompt import EncodedPrompt
from ..models.image_reading import read_images


def select_rows(dataset: Dataset) -> tuple[Dataset, dict[str, int]]:
    """
    The rows that a policy can be calibrated on.

    Args:
        dataset ([`~datasets.Dataset`]): rows with `images`, `safety_level` and `safety_type`.

    Returns:
        `tuple[Dataset, dict[str, int]]`: the rows with an image that are known to be harmless or to have some risk,
        and how many were left out: `"unlabelled"` (-100), `"several_classes"`, which may be harmless or not, counted
        where the dataset has such rows, and `"without_image"`, on which policies do not act.
    """
    labelled = np.logical_and(*(labels != UNLABELLED for labels in _labels_of(dataset).values()))
    encoded = keep_images_encoded(dataset.select_columns("images"))
    has_image = np.array([bool(row["images"]) for row in encoded])
    left_out = {"unlabelled": int((~labelled).sum()), "without_image": int((labelled & ~has_image).sum())}
    if sets := [name for name in SET_COLUMNS.values() if name in dataset.column_names]:
        has_set = np.array([any(row.values()) for row in dataset.select_columns(sets)])
        left_out["several_classes"] = int((has_set & ~labelled).sum())
        left_out["unlabelled"] -= left_out["several_classes"]
    return dataset.select(np.flatnonzero(labelled & has_image)), left_out


def collect_logits(model: Any, processor: Any, dataset: Dataset, batch_size: int = 32) -> dict[str, Any]:
    """
    As [`assess_rows`], by a model that is loaded.

    Args:
        model ([`SafeLlavaForConditionalGeneration`] or [`SafeLlavaForSafetyClassification`]): a trained model.
        processor ([`SafetyProcessorMixin`]): its processor.
        dataset ([`~datasets.Dataset`]): rows of [`select_rows`].
        batch_size (`int`, *optional*, defaults to 32): rows in one call of the model.
    """
    from ..guards.torch_guard import TorchGuard  # Not above, for torch comes with it.

    return assess_rows(TorchGuard(model, processor), dataset, batch_size)


def assess_rows(guard: AssessingGuard, dataset: Dataset, batch_size: int = 32) -> dict[str, Any]:
    """
    Assesses every row by its images and its question; the answer to learn is not shown.

    Args:
        guard ([`AssessingGuard`]): what assesses.
        dataset ([`~datasets.Dataset`]):
            Rows of [`select_rows`], with `messages`, whose last answer is left out, or `prompt` and `completion`.
        batch_size (`int`, *optional*, defaults to 32): rows in one call of the model.

    Returns:
        `dict[str, Any]`: the arguments of [`calibrate_policy`] beside the policy: `level_logits` of shape
        `(num_rows, 4)`, `type_logits` of shape `(num_rows, 7)`, both at temperature 1, `safety_level` and
        `safety_type` of shape `(num_rows,)`, `SOME_RISK` (-1) where not the class but some risk is known,
        `separate`, a [`Separate`], and `unfamiliar` of shape `(num_rows,)`.

    Raises:
        ValueError: if a verdict cannot be trusted for another reason than that it is unfamiliar.
    """
    level_logits, type_logits, separate, unfamiliar = [], [], [Separate()], []
    dataset = keep_images_encoded(dataset)
    with tqdm(total=len(dataset), desc="Assessing", unit="row", disable=None) as progress:
        for start in range(0, len(dataset), batch_size):
            rows = [dataset[row] for row in range(start, min(start + batch_size, len(dataset)))]
            verdict = guard.assess(encode_rows(rows, guard))
            is_out = ~verdict.trusted & ~verdict.unfamiliar
            if is_out.any():
                raise ValueError(
                    f"Of rows {start + 1} to {start + len(rows)} {int(is_out.sum())} verdicts cannot be "
                    "trusted: the logits are not finite, or the safety modules were never trained or are missing from "
                    "the checkpoint. Train stage 1 first, or try another --dtype."
                )
            level_logits.append(verdict.level_logits)
            type_logits.append(verdict.type_logits)
            unfamiliar.append(verdict.unfamiliar)
            separate.append(verdict.separate._replace(rows=verdict.separate.rows + start))
            progress.update(len(rows))
    return {
        "level_logits": np.concatenate(level_logits),
        "type_logits": np.concatenate(type_logits),
        **_labels_of(dataset),
        "separate": Separate(*map(np.concatenate, zip(*separate))),
        "unfamiliar": np.concatenate(unfamiliar),
    }


def _labels_of(dataset: Dataset) -> dict[str, np.ndarray]:
    columns = [name for name in (*SET_COLUMNS, *SET_COLUMNS.values()) if name in dataset.column_names]
    rows = list(dataset.select_columns(columns))
    return {label: np.array([class_or_some_risk(row, label) for row in rows], dtype=int) for label in SET_COLUMNS}


def encode_rows(rows: list[dict[str, Any]], guard: AssessingGuard) -> list[EncodedPrompt]:
    images = [guard.encode_images(read_images(list(row["images"]))) for row in rows]
    return guard.encode([_render_question(row, guard) for row in rows], images)


def _render_question(row: dict[str, Any], guard: AssessingGuard) -> str:
    """The prompt as `generate` would get it, up to the start of the assistant's turn."""
    question = row.get("messages") or row["prompt"]
    if row.get("messages") and question[-1]["role"] == "assistant":
        question = question[:-1]
    if isinstance(question, str):
        return question
    return guard.render([_with_placeholders(question, len(row["images"]))])[0]


def _with_placeholders(messages: list[dict[str, Any]], num_images: int) -> list[dict[str, Any]]:
    """A chat of parts; where its turns are strings, with the images in front of the first question, as trl has it."""
    chat, waiting = [], [{"type": "image"}] * num_images
    for message in messages:
        content = message["content"]
        if isinstance(content, str):
            images, waiting = (waiting, []) if message["role"] == "user" else ([], waiting)
            content = [*images, {"type": "text", "text": content}]
        chat.append({**message, "content": content})
    return chat
