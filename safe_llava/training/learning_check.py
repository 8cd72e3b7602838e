"""Whether a safety head has learned its classes, on labelled rows that were set aside from its training."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from datasets import Dataset, concatenate_datasets
from torch import nn

from ..data.label_parsing import SET_COLUMNS, SOME_RISK, UNLABELLED
from .class_figures import CLASSES, HARMLESS
from .training_row import LABEL_COLUMNS, row_labels


_WEIGHTS_OF_VERDICTS = re.compile(r"(^|\.)(safety_modules|vision_tower|embed_tokens)\.")
# A class is checked when so many held-out rows have it.
MIN_ROWS = 10
# Recall minus false alarms: 0 for a head that guesses, 1 for one that is never wrong (Youden 1950, "Index for rating
# diagnostic tests", https://doi.org/10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3).
MIN_INFORMEDNESS = 0.1
RISKY = "risky"


class LearningCheck:
    """
    The rows that a trainer's head is checked on when training ends, and what it found there.

    Args:
        model (`nn.Module`): what trains, as it is frozen.
        train_dataset (`Dataset` or `IterableDataset`): rows to train on.
        held_out ([`~datasets.Dataset`] or `dict`, *optional*): rows to check on; by default set aside.
        seed (`int`): draws the rows that are set aside.

    Raises:
        ValueError: if the safety modules train and no row has both labels.
    """

    def __init__(self, model: nn.Module, train_dataset: Any, held_out: Any, seed: int):
        self.train_dataset, self.held_out_dataset = train_dataset, held_out
        trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
        self.is_needed = any(_WEIGHTS_OF_VERDICTS.search(name) for name in trained)
        self.rows = count_labels(train_dataset) if self.is_needed else None
        if not self.is_needed:
            return
        has_labels = self.rows is None or all(sum(counts.values()) for counts in self.rows.values())
        if not has_labels and any("safety_modules." in name for name in trained):
            raise ValueError(
                "`train_dataset` has no row with a `safety_level` and none with a `safety_type`, so the safety head "
                "would learn nothing. Give rows labels, or freeze `model.model.safety_modules`."
            )
        if isinstance(held_out, dict):
            self.held_out_dataset = concatenate_datasets(list(held_out.values()))
        elif held_out is None and isinstance(train_dataset, Dataset):
            self.train_dataset, self.held_out_dataset = set_aside(train_dataset, seed)


def set_aside(dataset: Dataset, seed: int) -> tuple[Dataset, Dataset | None]:
    """
    Splits off the rows that the head is checked on: a twentieth, but at least 100, at most 1,000, and never more than
    a fifth. Below 50 rows nothing is split off, for nothing could be told from so few. A row that was selected several
    times, as [`~safe_llava.data.mixing.mix_safety_dataset`] does to balance classes, counts as one: no copy of a row
    that is set aside is left.

    Args:
        dataset (`Dataset`): rows to train on.
        seed (`int`): draws the rows.

    Returns:
        `tuple[Dataset, Dataset or None]`: the rows that are left, and those set aside.
    """
    selected = dataset._indices
    rows = np.arange(len(dataset)) if selected is None else selected.column(0).to_numpy()
    _, firsts, row_of = np.unique(rows, return_index=True, return_inverse=True)
    if len(firsts) < 50:
        return dataset, None
    number = min(max(len(firsts) // 20, 100), 1000, len(firsts) // 5)
    order = np.random.default_rng(seed).permutation(len(firsts))
    is_aside = np.zeros(len(firsts), dtype=bool)
    is_aside[order[:number]] = True
    return dataset.select(np.flatnonzero(~is_aside[row_of])), dataset.select(np.sort(firsts[order[:number]]))


def count_labels(dataset: Any) -> dict[str, dict[str, int]] | None:
    """
    Rows of each level and each type, and of each set of possible ones, such as "low or medium"; `None` for a stream,
    which cannot be counted.
    """
    if not isinstance(dataset, Dataset):
        return None
    counts = {task: dict.fromkeys(names, 0) for task, names in CLASSES.items()}
    columns = [name for name in LABEL_COLUMNS if name in dataset.column_names]
    for row in dataset.select_columns(columns) if columns else ():
        labels: Any = row_labels(row)
        for name, sets in SET_COLUMNS.items():
            task = name.removeprefix("safety_")
            known = labels[sets] or [label for label in (labels[name],) if label != UNLABELLED]
            if known:
                spelled = " or ".join(CLASSES[task][label] for label in known)
                counts[task][spelled] = counts[task].get(spelled, 0) + 1
    return counts


def measure_recall(rows: Iterable[tuple[int, int]], task: str) -> dict[str, dict]:
    """
    How well each class is told from the others, and any risk from none.

    Args:
        rows (`Iterable[tuple[int, int]]`):
            For each labelled row what it is (`SOME_RISK` where only that is known), and what the head takes it for.
        task (`str`): `"level"` or `"type"`.

    Returns:
        `dict[str, dict]`: for each class with a row, and for `"risky"`, which is all but the harmless one, its `rows`,
        its `recall`, and `false_alarms`, the share of the rows of other classes that are taken for it.
    """
    actual, found = np.array([*rows], dtype=int).reshape(-1, 2).T
    single: np.ndarray = actual != SOME_RISK
    figures = {
        name: _figures_of(actual[single] == index, found[single] == index) for index, name in enumerate(CLASSES[task])
    }
    figures[RISKY] = _figures_of(actual != HARMLESS[task], found != HARMLESS[task])
    return {name: figure for name, figure in figures.items() if figure["rows"]}


def find_unlearned(held_out: dict[str, dict[str, dict]]) -> list[str]:
    """
    What speaks against a head, in words; nothing where it has learned.

    Args:
        held_out (`dict[str, dict[str, dict]]`): `measure_recall` under `"level"` and `"type"`.
    """
    reasons = []
    for task, names in CLASSES.items():
        figures = held_out[task]
        for name, kind in ((names[HARMLESS[task]], names[HARMLESS[task]]), (RISKY, "some risk")):
            if (number := figures.get(name, {"rows": 0})["rows"]) < MIN_ROWS:
                reasons.append(f"only {number} held-out rows have {kind} as their {task}, {MIN_ROWS} are needed")
        for name, figure in figures.items():
            if figure["rows"] >= MIN_ROWS and figure["recall"] - figure["false_alarms"] < MIN_INFORMEDNESS:
                reasons.append(
                    f"the {task} {name!r} is found in {figure['recall']:.0%} of its {figure['rows']} held-out rows "
                    f"and in {figure['false_alarms']:.0%} of the others"
                )
    return reasons


def _figures_of(is_class: np.ndarray, is_found: np.ndarray) -> dict[str, Any]:
    hits, others = is_found[is_class], is_found[~is_class]
    return {
        "rows": len(hits),
        "recall": round(float(hits.mean()), 4) if len(hits) else 0.0,
        "false_alarms": round(float(others.mean()), 4) if len(others) else 0.0,
    }
