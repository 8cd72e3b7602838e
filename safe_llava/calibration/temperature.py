"""
Temperature scaling of a classifier.

Source: "On Calibration of Modern Neural Networks", Guo et al. 2017, arXiv 1706.04599.
"""

import math

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from ..models.safety_policy import MAX_TEMPERATURE, MIN_TEMPERATURE


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float | None:
    """
    The temperature T that makes the labels most likely under softmax(logits / T) (paper, section 4.2).

    Args:
        logits (`np.ndarray` of shape `(num_rows, num_classes)`): scores at temperature 1.
        labels (`np.ndarray` of shape `(num_rows,)`): the true classes.

    Returns:
        `float`, *optional*: T, within what a policy may have, or `None` where no temperature is best: every row is
        right, so that ever smaller ones fit ever better, or the scores say nothing about the labels, so that ever
        larger ones do.
    """
    rows = np.arange(len(labels))
    gain_from_sharper = (logits[rows, labels] - logits.mean(axis=1)).mean()
    if (logits.argmax(axis=1) == labels).all() or gain_from_sharper <= 0:
        return None

    def negative_log_likelihood(log_temperature: float) -> float:
        return -log_softmax(logits / math.exp(log_temperature), axis=1)[rows, labels].mean()

    # The loss is convex in 1 / T, so that it has one minimum over log T.
    bounds = (math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE))
    result = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return min(max(round(math.exp(result.x), 4), MIN_TEMPERATURE), MAX_TEMPERATURE)
