"""Ratio of clean to risky rows, and balance between classes."""

from typing import Literal

import numpy as np
from datasets import Dataset

from .label_parsing import UNLABELLED


def mix_safety_dataset(
    dataset: Dataset,
    clean_to_risky: float | None = None,
    balance_by: Literal["safety_level", "safety_type"] | None = None,
    seed: int = 0,
) -> Dataset:
    """
    Chooses rows so that risk classes are balanced and clean rows have a given share.

    Balancing comes first and repeats rows: every risky class grows to the size of the largest. The ratio comes second
    and leaves rows out: the side that is in excess is thinned. A row of which only some risk is known counts as risky
    and belongs to no class that could be balanced. Rows that may be either, or have no label, always stay. (The paper
    trains stage 1 on about 11,000 risky and 3,000 clean pairs, `clean_to_risky=0.27`; arXiv 2405.13581.)

    Args:
        dataset ([`~datasets.Dataset`]): rows with `safety_level` and `safety_type` as class indices.
        clean_to_risky (`float`, *optional*):
            Clean rows (level "none") for each risky row. By default as the data comes.
        balance_by (`str`, *optional*):
            `"safety_level"` or `"safety_type"`: the column whose risky classes get equally many rows. By default as
            the data comes.
        seed (`int`, *optional*, defaults to 0):
            Seed of the choice and of the order; the same seed gives the same rows in the same order.

    Returns:
        [`~datasets.Dataset`]: the chosen rows, shuffled; the dataset itself where neither option is given.

    Raises:
        ValueError: if an option is out of range, or the data has no risky row to balance, or no clean or no risky
            row to hold a ratio with.
    """
    if clean_to_risky is None and balance_by is None:
        return dataset
    if clean_to_risky is not None and clean_to_risky <= 0:
        raise ValueError(f"`clean_to_risky` must be above 0, not {clean_to_risky}.")
    if balance_by not in (None, "safety_level", "safety_type"):
        raise ValueError(f"`balance_by` must be 'safety_level' or 'safety_type', not {balance_by!r}.")
    generator = np.random.default_rng(seed)
    levels = np.asarray(dataset["safety_level"])
    is_risky: np.ndarray = levels > 0
    if "possible_levels" in dataset.column_names:
        is_risky |= np.array([bool(classes) and 0 not in classes for classes in dataset["possible_levels"]])
    clean, risky = np.flatnonzero(levels == 0), np.flatnonzero(is_risky)
    others = np.flatnonzero((levels == UNLABELLED) & ~is_risky)
    if balance_by is not None:
        classes = np.asarray(dataset[balance_by])[risky]
        if (classes == UNLABELLED).all():
            raise ValueError(
                f"`balance_by` has no effect: none of {len(levels)} rows is risky and has one known class in "
                f"`{balance_by}`."
            )
        risky = _balance(risky, classes, generator)
    if clean_to_risky is not None:
        if not len(clean) or not len(risky):
            raise ValueError(
                f"`clean_to_risky` needs both kinds, but of {len(levels)} rows {len(clean)} are clean and "
                f"{len(risky)} risky."
            )
        num_clean = min(len(clean), round(len(risky) * clean_to_risky))
        num_risky = min(len(risky), round(len(clean) / clean_to_risky))
        clean = generator.permutation(clean)[: max(num_clean, 1)]
        risky = generator.permutation(risky)[: max(num_risky, 1)]
    return dataset.select(generator.permutation(np.concatenate([clean, risky, others])))


def _balance(rows: np.ndarray, classes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Repeat the rows of each class, the remainder drawn without repetition, up to the largest class."""
    is_known = classes != UNLABELLED
    names, counts = np.unique(classes[is_known], return_counts=True)
    groups = [rows[~is_known]]
    for name, count in zip(names, counts, strict=True):
        members = generator.permutation(rows[classes == name])
        groups.append(np.resize(members, counts.max()) if count < counts.max() else members)
    return np.concatenate(groups)
