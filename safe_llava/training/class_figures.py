"""Whether the safety head tells its classes apart: the recall of each, and a warning where it does not."""

import logging
from collections import Counter, defaultdict, deque
from typing import Any

from transformers import Trainer
from transformers.trainer_utils import EvalLoopOutput

from ..models.safety_labels import SAFE_TYPE_ID, SAFETY_LEVELS, SAFETY_TYPES


logger = logging.getLogger(__name__)

CLASSES = {"level": SAFETY_LEVELS, "type": SAFETY_TYPES}
HARMLESS = {"level": 0, "type": SAFE_TYPE_ID}
# Stands for the class of a row of which only some risk is known.
SOME_RISK = -1
# Of rows with one known class, and of rows whose class is known to be one of several.
CLASS_ACCURACIES = {f"{name}{kind}_accuracy" for name in CLASSES for kind in ("", "_set")}
# Rows of the end of a training that are looked at, and how many of a class say that it should have been found.
_LAST_ROWS = 512
_ENOUGH_ROWS = 8


class ClassFiguresMixin(Trainer):
    """
    Goes before trl's trainer and after a class that calls `keep_classes`. Puts into the metrics of each evaluation,
    under the prefix of its own, what was averaged over it and the recall of each class, such as
    `eval_level_recall_high`, with the number of rows behind each accuracy, and warns of a head that found one class
    only, at the end of training too.
    """

    _metrics: dict[str, dict[str, list[float]]]

    def __init__(self, *args: Any, **kwargs: Any):
        self._last_rows = {name: deque[tuple[int, int]](maxlen=_LAST_ROWS) for name in CLASSES}
        self._eval_rows: dict[str, list[tuple[int, int]]] = defaultdict(list)
        super().__init__(*args, **kwargs)

    def keep_classes(self, mode: str, name: str, predictions: list[int], labels: list[int]) -> None:
        """
        Takes note of rows.

        Args:
            mode (`str`): `"train"` or `"eval"`.
            name (`str`): `"level"` or `"type"`.
            predictions (`list[int]`): what the head found in each labelled row.
            labels (`list[int]`): what it is, [`SOME_RISK`] where only that is known.
        """
        rows = self._last_rows[name] if mode == "train" else self._eval_rows[name]
        rows.extend(zip(labels, predictions))

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """As its parent; says so where the head has learned to find one class only."""
        result = super().train(*args, **kwargs)
        for name, rows in self._last_rows.items():
            self._warn_of_one_class(f"the last {len(rows)} rows of training", name, list(rows))
        return result

    def evaluation_loop(self, *args: Any, metric_key_prefix: str = "eval", **kwargs: Any) -> EvalLoopOutput:
        """As its parent; its metrics hold those of this very data set, which trl would add under one name for all."""
        kept = self._metrics["eval"]
        kept.clear()
        self._eval_rows = defaultdict(list)
        output = super().evaluation_loop(*args, metric_key_prefix=metric_key_prefix, **kwargs)
        for name, values in kept.items():
            output.metrics[f"{metric_key_prefix}_{name}"] = sum(values) / len(values)
            if name in CLASS_ACCURACIES:
                output.metrics[f"{metric_key_prefix}_{name.removesuffix('_accuracy')}_rows"] = len(values)
        kept.clear()
        for name, rows in self._eval_rows.items():
            for label, recall in _recalls(rows).items():
                output.metrics[f"{metric_key_prefix}_{name}_recall_{CLASSES[name][label]}"] = recall
            self._warn_of_one_class(f"the {len(rows)} labelled rows of `{metric_key_prefix}`", name, rows)
        return output

    def _warn_of_one_class(self, where: str, name: str, rows: list[tuple[int, int]]) -> None:
        rows = [row for row in rows if row[0] != SOME_RISK]
        found = {prediction for _, prediction in rows}
        counts = Counter(label for label, _ in rows)
        expected = [CLASSES[name][label] for label, count in sorted(counts.items()) if count >= _ENOUGH_ROWS]
        if len(found) == 1 and len(expected) > 1 and self.is_world_process_zero():
            logger.warning(
                f"The safety head has collapsed: in {where} it found the {name} {CLASSES[name][found.pop()]!r} "
                f"everywhere, where there were {', '.join(expected)}. Train longer, with a higher learning rate, or "
                "with `balance_by`."
            )


def _recalls(rows: list[tuple[int, int]]) -> dict[int, float]:
    """The share of each label's rows that were found, by label."""
    rows = [row for row in rows if row[0] != SOME_RISK]
    counts = Counter(label for label, _ in rows)
    hits = Counter(label for label, prediction in rows if label == prediction)
    return {label: hits[label] / counts[label] for label in sorted(counts)}
