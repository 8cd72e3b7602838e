"""From rows to the statistics by which a model knows familiar images, and the threshold that keeps a share of them."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from datasets import Dataset

from ..data.encoded_images import keep_images_encoded
from ..guards.assessing_guard import AssessingGuard
from .logits import encode_rows
from .row_digest import digest_images


NUM_AXES = 64
"""Directions of the covariance that are kept; all others count as one."""
FLOOR = 1e-4
"""No variance is below this part of the mean one: half precision moves features along all directions."""
ROWS_PER_AXIS = 2


def fit_familiarity(
    model: Any, processor: Any, dataset: Dataset, share: float, batch_size: int = 32
) -> dict[str, Any]:
    """
    Fits to one half of the rows, drawn at random, what images are like, and takes the threshold from the other half:
    of rows to come, drawn as these were, at least `share` are familiar on average (split conformal prediction, arXiv
    2107.07511). Of rows with the same images one counts. The model's config gets the statistics.

    Args:
        model ([`SafeLlavaForConditionalGeneration`] or [`SafeLlavaForSafetyClassification`]): a trained model.
        processor ([`SafetyProcessorMixin`]): its processor.
        dataset ([`~datasets.Dataset`]): rows of [`select_rows`], that the head was not trained on.
        share (`float`): between 0.5 and 1, such as 0.99.
        batch_size (`int`, *optional*, defaults to 32): rows in one call of the model.

    Returns:
        `dict[str, Any]`: what `config.safety_familiarity` then holds.

    Raises:
        ValueError: if the share is out of range, the rows are too few for it or their images all one, the model is
            not trusted, or the processor is not the one that it was trained with; the config then stays as it was.
    """
    from ..guards.torch_guard import TorchGuard  # Not above, for torch comes with it.
    from ..models.image_processor_check import check_image_processor

    check_share(share)
    guard, config = TorchGuard(model, processor), model.config
    check_image_processor(config, processor)
    known, config.safety_familiarity = config.safety_familiarity, None  # What is known already may be stale.
    try:
        config.safety_familiarity = _fit(guard, dataset, share, batch_size)
    except BaseException:
        config.safety_familiarity = known
        raise
    return config.safety_familiarity


def _fit(guard: Any, dataset: Dataset, share: float, batch_size: int) -> dict[str, Any]:
    from ..models.safety_familiarity import find_damage

    config = guard.model.config
    if (reason := guard.explain_distrust()) is not None:
        raise ValueError(f"No verdict of this model can be trusted, so there is nothing to calibrate: {reason}.")
    # A copy of what was fitted lies nearer than anything new, and would draw the threshold to it.
    encoded = keep_images_encoded(dataset)
    distinct = {digest_images(row): place for place, row in enumerate(encoded)}
    dataset = dataset.select(sorted(distinct.values()))
    shuffled = np.random.default_rng(0).permutation(len(dataset))
    held_out, fitted = (np.sort(half) for half in (shuffled[::2], shuffled[1::2]))
    place = math.ceil((len(held_out) + 1) * share - 1e-9)
    if place > len(held_out):
        needed = 2 * math.ceil(share / (1 - share) - 1e-9)
        raise ValueError(
            f"To keep {share:.4g} of rows like these takes at least {needed} of them, each with other images, got "
            f"{len(dataset)}."
        )
    features = np.concatenate(_read_images(guard, dataset.select(fitted), batch_size))
    if not np.isfinite(features).all() or not features.var(axis=0).any():
        raise ValueError(
            f"The images of {len(fitted)} rows are all alike to the vision tower, or it says no numbers of them, so "
            "they do not show what familiar images are like. Give other rows, or another --dtype."
        )
    record = {
        "weights": config.safety_training["digests"][0],
        "share": share,
        "rows": {"fitted": len(fitted), "held_out": len(held_out)},
        "threshold": 1.0,
        **_fit_gaussian(features),
    }
    config.safety_familiarity = record
    distances = np.sort(np.concatenate(_measure(guard, dataset.select(held_out), batch_size)))
    config.safety_familiarity = record | {"threshold": float(distances[place - 1])}
    if (damage := find_damage(config)) is not None:
        raise ValueError(f"These rows give no statistics that could be used: {damage}, with other rows.")
    return config.safety_familiarity


def check_share(share: float) -> None:
    """Raises a `ValueError` unless a share of rows to keep is one."""
    if not 0.5 <= share < 1:
        raise ValueError(f"The share of familiar rows must be from 0.5 to below 1, such as 0.99, got {share}.")


def _fit_gaussian(features: np.ndarray) -> dict[str, Any]:
    from ..models.safety_familiarity import encode_numbers

    mean = features.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(features, rowvar=False, bias=True))
    variances = variances.clip(min=0) + FLOOR * variances.mean()
    num_axes = max(1, min(NUM_AXES, len(features) // ROWS_PER_AXIS, len(mean) - 1))
    return {
        "rest": float(variances[:-num_axes].mean()),
        **encode_numbers(mean=mean, variances=variances[-num_axes:], axes=directions[:, -num_axes:].T),
    }


def _read_images(guard: Any, dataset: Dataset, batch_size: int) -> list[np.ndarray]:
    """What the vision tower says of each image, or of each tile that the head reads, on average over its patches."""
    found = []
    for rows in _batches(dataset, batch_size):
        _, images = guard.assess_and_keep(encode_rows(rows, guard))
        patches: Any = images.patch_features
        found.append(patches.float().mean(dim=1).double().cpu().numpy())
    return found


def _measure(guard: AssessingGuard, dataset: Dataset, batch_size: int) -> list[np.ndarray]:
    distances: list[Any] = [guard.assess(encode_rows(rows, guard)).novelty for rows in _batches(dataset, batch_size)]
    return distances


def _batches(dataset: Dataset, batch_size: int) -> Iterator[list[dict[str, Any]]]:
    encoded = keep_images_encoded(dataset)
    for start in range(0, len(encoded), batch_size):
        yield [encoded[row] for row in range(start, min(start + batch_size, len(encoded)))]
