"""
Temperature scaling of a classifier.

Source: "On Calibration of Modern Neural Networks", Guo et al. 2017, arXiv 1706.04599.
"""

import math

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, logsumexp

from ..models.policy_checks import MAX_TEMPERATURE, MIN_TEMPERATURE


def fit_temperature(logits: np.ndarray, possible: np.ndarray) -> float | None:
    """
    The temperature T that makes the labels most likely under softmax(logits / T) (paper, section 4.2). The probability
    of a label that leaves several classes open is that of these together.

    Args:
        logits (`np.ndarray` of shape `(num_rows, num_classes)`): scores at temperature 1.
        possible (`np.ndarray` of shape `(num_rows, num_classes)`): mask of the classes of which one is true.

    Returns:
        `float`, *optional*: T, within what a policy may have, or `None` where no temperature is best: every row is
        right, so that ever smaller ones fit ever better, or the scores say nothing about the labels, so that ever
        larger ones do.
    """
    is_right = possible[np.arange(len(logits)), logits.argmax(axis=1)]
    gain_from_sharper = (logits.mean(axis=1, where=possible) - logits.mean(axis=1)).mean()
    if is_right.all() or gain_from_sharper <= 0:
        return None

    def negative_log_likelihood(log_temperature: float) -> float:
        log_probs = log_softmax(logits / math.exp(log_temperature), axis=1)
        return -logsumexp(np.where(possible, log_probs, -np.inf), axis=1).mean()

    # Of single classes the loss is convex in 1 / T, so that it has one minimum over log T.
    bounds = (math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE))
    result = minimize_scalar(negative_log_likelihood, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return min(max(round(math.exp(result.x), 4), MIN_TEMPERATURE), MAX_TEMPERATURE)
