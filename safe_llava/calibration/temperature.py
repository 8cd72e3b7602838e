"""Temperature scaling of a classifier, and how far its probabilities are from the truth.

Source: "On Calibration of Modern Neural Networks", Guo et al. 2017, arXiv 1706.04599.
"""

import math

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax


NUM_BINS = 15
"""Equal-width bins of the calibration error, as in section 5 of the paper."""


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float | None:
    """
    The temperature T that makes the labels most likely under softmax(logits / T) (paper, section 4.2).

    Args:
        logits (`np.ndarray` of shape `(num_rows, num_classes)`): scores at temperature 1.
        labels (`np.ndarray` of shape `(num_rows,)`): the true classes.

    Returns:
        T > 0, or `None` where no temperature is best: every row is right, so that ever smaller ones fit ever better,
        or the scores say nothing about the labels, so that ever larger ones do.
    """
    rows = np.arange(len(labels))
    gain_from_sharper = (logits[rows, labels] - logits.mean(axis=1)).mean()
    if (logits.argmax(axis=1) == labels).all() or gain_from_sharper <= 0:
        return None

    def negative_log_likelihood(log_temperature: float) -> float:
        return -log_softmax(logits / math.exp(log_temperature), axis=1)[rows, labels].mean()

    # The loss is convex in 1 / T, so that it has one minimum over log T.
    bounds = (math.log(1e-3), math.log(1e3))
    result = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return round(math.exp(result.x), 4)


def top_label(probs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Confidence in the most probable class of each row, and whether it is the true one."""
    return probs.max(axis=1), probs.argmax(axis=1) == labels


def reliability(confidence: np.ndarray, is_right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    What a reliability diagram shows.

    Args:
        confidence (`np.ndarray` of shape `(num_rows,)`): predicted probabilities in [0, 1].
        is_right (`np.ndarray` of shape `(num_rows,)`): whether what was predicted is true.

    Returns:
        For each bin that has rows: their mean confidence, the share that is right, and their number.
    """
    bins = np.clip(np.ceil(confidence * NUM_BINS).astype(int) - 1, 0, NUM_BINS - 1)
    counts = np.bincount(bins, minlength=NUM_BINS)
    filled = counts > 0
    mean_confidence = np.bincount(bins, confidence, NUM_BINS)[filled] / counts[filled]
    share_right = np.bincount(bins, is_right, NUM_BINS)[filled] / counts[filled]
    return mean_confidence, share_right, counts[filled]


def expected_calibration_error(confidence: np.ndarray, is_right: np.ndarray) -> float:
    """
    ECE = sum over bins of (rows in bin / rows) * |share right - mean confidence| (paper, equation 3).

    Args:
        confidence (`np.ndarray` of shape `(num_rows,)`): predicted probabilities in [0, 1].
        is_right (`np.ndarray` of shape `(num_rows,)`): whether what was predicted is true.
    """
    mean_confidence, share_right, counts = reliability(confidence, is_right)
    return float((counts * np.abs(share_right - mean_confidence)).sum() / len(confidence))
