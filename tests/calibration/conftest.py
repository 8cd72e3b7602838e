"""A head in numbers: calibrated scores of known labels, which are then scaled by a known temperature."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.special import softmax

from safe_llava.models.safety_labels import SAFETY_LEVELS, SAFETY_TYPES
from safe_llava.serving.audit_log import AuditLog


def draw_head(seed: int, num_rows: int, temperature: float = 1.0, spread: float = 3.0) -> dict[str, np.ndarray]:
    """Arguments of `calibrate_policy` whose true temperature is the one given. Half of the rows are harmless."""
    rng = np.random.default_rng(seed)
    harmless = rng.random(num_rows) < 0.5
    joint = rng.normal(size=(num_rows, 3, 6)) * spread / 2
    risk = np.array([rng.choice(18, p=softmax(scores.ravel())) for scores in joint])
    level = np.where(harmless, 0, risk // 6 + 1)
    risk_type = np.where(harmless, 6, risk % 6)

    def noisy(labels: np.ndarray, classes: int) -> np.ndarray:
        # Gaussian scores around the true class are calibrated when the mean is the variance.
        logits = rng.normal(size=(num_rows, classes)) * np.sqrt(spread)
        logits[np.arange(num_rows), labels] += spread
        prior = np.log(np.bincount(labels, minlength=classes) / num_rows + 1e-9)
        return (logits + prior) * temperature

    return {
        "level_logits": noisy(level, 4),
        "type_logits": noisy(risk_type, 7),
        "safety_level": level,
        "safety_type": risk_type,
    }


@pytest.fixture(scope="session")
def head() -> Callable[..., dict[str, np.ndarray]]:
    return draw_head


@pytest.fixture
def write_log(tmp_path, tiny_safe_llava):
    """`write_log(labels, **fields)` writes what a server writes, with labels added to as many lines."""

    def write(labels: list[dict], **fields) -> Path:
        drawn = random.Random(0)
        log = AuditLog(tmp_path / "audit.jsonl", 2**30, 1)
        for number, label in enumerate(labels):
            log.write(
                "assessed",
                **{
                    "id": f"modr-{number}",
                    "assessed": True,
                    "trusted": True,
                    "level_logits": [drawn.gauss(0, 1) for _ in SAFETY_LEVELS],
                    "type_logits": [drawn.gauss(0, 1) for _ in SAFETY_TYPES],
                    "weights": tiny_safe_llava.config.safety_training["digests"][0],
                    **fields,
                    **label,
                },
            )
            log.write("answered", id=f"modr-{number}", outcome="whole")
        log.write("rejected", status=400)
        log.close()
        return log.path

    return write
