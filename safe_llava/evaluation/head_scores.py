"""Scores a safety head as a classifier: on a labelled dataset, or by verdicts in a log or an audit."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset
from scipy.special import softmax
from transformers import PreTrainedModel, ProcessorMixin

from ..calibration.logits import collect_logits, select_rows
from ..data.label_parsing import (
    SET_COLUMNS,
    UNLABELLED,
    class_or_some_risk,
    parse_labels,
    parse_safety_level,
    parse_safety_type,
)
from ..models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from .classification import DEFAULT_RESAMPLES, score_classifier


def score_head(
    model: PreTrainedModel,
    processor: ProcessorMixin,
    dataset: Dataset,
    batch_size: int = 32,
    num_resamples: int = DEFAULT_RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """
    Scores the head of a model on a labelled dataset, at the temperature of the policy that is stored with the model.

    Args:
        model ([`SafeLlavaForConditionalGeneration`]): a model with trained safety modules.
        processor ([`SafeLlavaProcessor`]): its processor.
        dataset ([`~datasets.Dataset`]): rows of [`~safe_llava.data.load_safety_dataset`].
        batch_size (`int`, *optional*, defaults to 32): rows in one call of the model.
        num_resamples, seed (`int`, *optional*): see [`score_classifier`].

    Returns:
        `dict`: the figures of [`score_classifier`], with `temperature` and `left_out`, as
        [`~safe_llava.calibration.select_rows`] counts them.

    Raises:
        ValueError: if no row is left, if a verdict cannot be trusted, or if the model has no safety head.

    Example:

    ```python
    >>> dataset, _ = load_safety_dataset("labelled.jsonl")
    >>> scores = score_head(model, processor, dataset)
    >>> scores["level"]["accuracy"]["value"], scores["left_out"]
    (0.91, {'unlabelled': 0, 'without_image': 12})
    ```"""
    rows, left_out = select_rows(dataset)
    if not len(rows):
        raise ValueError(f"The dataset has no row with labels and an image (left out: {left_out}).")
    logits = collect_logits(model, processor, rows, batch_size)
    policy = model.safety_policy
    temperature = {"level": 1.0, "type": 1.0} if policy is None else dict(policy.temperature)
    scores = score_classifier(
        softmax(logits["level_logits"] / temperature["level"], axis=1),
        softmax(logits["type_logits"] / temperature["type"], axis=1),
        logits["safety_level"],
        logits["safety_type"],
        num_resamples,
        seed,
    )
    return {**scores, "temperature": temperature, "left_out": left_out}


def score_verdicts(
    rows: Iterable[Mapping[str, Any]], num_resamples: int = DEFAULT_RESAMPLES, seed: int = 0
) -> dict[str, Any]:
    """
    Scores verdicts that were written down beside their labels.

    Args:
        rows (`Iterable[Mapping]`):
            Each with `level_probs` and `type_probs`, as dictionaries by name ([`SafetyVerdict.to_list`]) or as lists
            in the order of [`SAFETY_LEVELS`] and [`SAFETY_TYPES`]; and `safety_level` and `safety_type`, as names or
            indices. `has_image` and `trusted` are heeded where they are given.
        num_resamples, seed (`int`, *optional*): see [`score_classifier`].

    Returns:
        `dict`: the figures of [`score_classifier`], with `left_out`, the numbers of rows that do not count:
        `unlabelled` (`None` or -100), `several_classes` (which may be harmless or not), `without_image`, and
        `untrusted`, whose probabilities mean nothing. A model with untrusted verdicts is worse than its figures, so
        show that number beside them.

    Raises:
        ValueError: if a row lacks a field or holds something else, naming the row, counted from 1; or if no row is
            left.

    Example:

    ```python
    >>> rows = [{**verdict, "safety_level": level, "safety_type": risk_type}
    ...         for verdict, level, risk_type in zip(verdicts.to_list(), levels, types)]
    >>> score_verdicts(rows)["risky"]["auroc"]
    {'value': 0.97, 'interval': [0.94, 0.99]}
    ```"""
    left_out = {"unlabelled": 0, "without_image": 0, "untrusted": 0}
    columns: tuple[list[Any], ...] = ([], [], [], [])
    for number, row in enumerate(rows, start=1):
        if missing := [name for name in (*_PROBS, *_LABELS) if name not in row]:
            raise ValueError(f"Row {number} lacks {', '.join(missing)}.")
        # Of a wrong label nothing is taken here; it is refused below.
        found, problems = parse_labels(row)
        labels = {} if problems else {name: class_or_some_risk(found, name) for name in SET_COLUMNS}
        if UNLABELLED in labels.values():
            reason = "several_classes" if any(found[column] for column in SET_COLUMNS.values()) else "unlabelled"
            left_out[reason] = left_out.get(reason, 0) + 1
        elif not row.get("has_image", True):
            left_out["without_image"] += 1
        elif not row.get("trusted", True):
            left_out["untrusted"] += 1
        else:
            try:
                parsed: list[Any] = [read(row[name]) for name, read in _PROBS.items()]
                parsed += [labels[name] if labels else read(row[name]) for name, read in _LABELS.items()]
            except ValueError as error:
                raise ValueError(f"Row {number}: {error}.") from error
            for column, value in zip(columns, parsed):
                column.append(value)
    if not columns[0]:
        raise ValueError(f"There is no labelled verdict about an image to score (left out: {left_out}).")
    level_probs, type_probs, safety_level, safety_type = map(np.array, columns)
    scores = score_classifier(level_probs, type_probs, safety_level, safety_type, num_resamples, seed)
    return {**scores, "left_out": left_out}


def _read_level_probs(probs: Any) -> list[float]:
    return _read_probs(probs, SAFETY_LEVELS, "level_probs")


def _read_type_probs(probs: Any) -> list[float]:
    return _read_probs(probs, SAFETY_TYPES, "type_probs")


def _read_probs(probs: Any, names: Sequence[str], field: str) -> list[float]:
    values = [probs.get(name) for name in names] if isinstance(probs, Mapping) else probs
    is_list = isinstance(values, Sequence) and len(values) == len(names) and len(probs) == len(names)
    if not is_list or not all(isinstance(value, (int, float)) for value in values):
        raise ValueError(f"{field} must have a number for each of {', '.join(names)}, got {probs!r}")
    return list(values)


_PROBS = {"level_probs": _read_level_probs, "type_probs": _read_type_probs}
_LABELS = {"safety_level": parse_safety_level, "safety_type": parse_safety_type}
