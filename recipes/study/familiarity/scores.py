"""How strange rows are to a model: by the detector, by energy, and by the vector that the head classifies."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from scipy.special import logsumexp

from safe_llava.calibration.logits import encode_rows
from safe_llava.data.encoded_images import keep_images_encoded
from safe_llava.evaluation.attacks.attack_row import AttackRow
from safe_llava.evaluation.attacks.attack_target import AttackTarget
from safe_llava.guards.torch_guard import TorchGuard


FLOOR = 1e-4
"""No variance is below this part of the mean one, as in [`~safe_llava.calibration.familiarity.fit_familiarity`]."""


class Rivals:
    """
    Two other scores of strangeness: the energy of both classifiers (arXiv 2010.03759), and the Mahalanobis distance of
    what they classify to the nearest risk type, with a tied covariance (arXiv 1807.03888).

    Args:
        target ([`AttackTarget`]): the model.
        dataset ([`~datasets.Dataset`]): rows of known types that the second one is fitted to, the detector's.
    """

    def __init__(self, target: AttackTarget, dataset: Dataset):
        guard, rows = TorchGuard(target.model, target.processor), keep_images_encoded(dataset)
        found = []
        with keep_pooled(target) as kept:
            for start in range(0, len(rows), target.batch_size):
                kept.clear()
                batch = [rows[number] for number in range(start, min(start + target.batch_size, len(rows)))]
                guard.assess(encode_rows(batch, guard))
                found.append(kept[0].float().cpu().numpy())
        classes, nearest = np.unique(dataset["safety_type"], return_inverse=True)
        pooled = np.concatenate(found)
        self._means = np.stack([pooled[nearest == index].mean(axis=0) for index in range(len(classes))])
        variances, directions = np.linalg.eigh(np.cov(pooled - self._means[nearest], rowvar=False, bias=True))
        self._whitening = directions / np.sqrt(variances.clip(min=0) + FLOOR * variances.mean())

    def score(self, found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The scores of what [`assess`] found."""
        logits = (found["level_logits"], found["type_logits"])
        distances = [(((found["pooled"] - mean) @ self._whitening) ** 2).sum(axis=1) for mean in self._means]
        return {
            "energy": -sum(logsumexp(each, axis=1) for each in logits),
            "head's pooled vector": np.min(distances, axis=0),
        }


@contextmanager
def keep_pooled(target: AttackTarget) -> Iterator[list[torch.Tensor]]:
    """What the head classifies, a tensor for each of its passes; the first one of a batch is of its whole rows."""
    model: Any = target.model
    model.explain_distrust()  # Asks the head itself, once.
    kept: list[torch.Tensor] = []
    hook = model.model.safety_modules.head.output_layer.register_forward_hook(lambda *hooked: kept.append(hooked[2]))
    try:
        yield kept
    finally:
        hook.remove()


@torch.no_grad()
def assess(target: AttackTarget, rows: Sequence[AttackRow]) -> dict[str, np.ndarray]:
    """
    Assesses rows: `novelty`, `level_logits`, `type_logits`, `pooled`, and `passed`, whether the policy would answer a
    row as if it were harmless, were there no detector.
    """
    model: Any = target.model
    found: dict[str, list[np.ndarray]] = {}
    with keep_pooled(target) as kept:
        for start in range(0, len(rows), target.batch_size):
            kept.clear()
            batch = rows[start : start + target.batch_size]
            verdict = model.assess(**target.encode(batch))
            decisions = model.decide(verdict, {"unfamiliar": "assess"})
            columns = {"level_logits": verdict.level_logits, "type_logits": verdict.type_logits, "pooled": kept[0]}
            if verdict.novelty is not None:
                columns["novelty"] = verdict.novelty
            arrays = {name: values.float().cpu().numpy() for name, values in columns.items()}
            arrays["passed"] = np.array([decision.action == "answer" for decision in decisions])
            for name, values in arrays.items():
                found.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in found.items()}
