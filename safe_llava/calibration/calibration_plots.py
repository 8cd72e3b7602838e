"""The plots of a calibration report, each a PNG of its own so that a page can place them by its width."""

import base64
import io
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from ..statistics import NUM_BINS, reliability


BEFORE, AFTER, GREY = "#b26a00", "#1259a7", "#9aa0a6"
_STYLE: dict[Any, Any] = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True}
# Fixed, for matplotlib's own layout engines take most of the drawing time.
_MARGINS = {"left": 0.16, "right": 0.97, "bottom": 0.13, "top": 0.93}


def draw_reliability(before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray], label: str) -> str:
    """
    Predicted probability against the share that is true, before and after; below it, how many rows are where.

    Args:
        before (`tuple` of two `np.ndarray` of shape `(num_rows,)`):
            Probabilities before calibration, and whether they are of what is true.
        after (`tuple` of two `np.ndarray` of shape `(num_rows,)`): the same after calibration.
        label (`str`): what the probability is of, for the axis.

    Returns:
        `str`: a PNG as a data URI, as are all plots here.
    """
    with rc_context(_STYLE):
        figure = Figure(figsize=(3.6, 3.9))
        curve, histogram = figure.subplots(
            2, 1, sharex=True, gridspec_kw={"height_ratios": [3.2, 1], "hspace": 0.12, **_MARGINS}
        )
        curve.plot([0, 1], [0, 1], color=GREY, linestyle=":")
        for (probs, is_true), name, color, marker in ((before, "before", BEFORE, "o"), (after, "after", AFTER, "s")):
            confidence, share, counts = reliability(probs, is_true)
            curve.plot(confidence, share, color=color, linewidth=0.8)
            # A bin's mark grows with its rows, for a bin of few rows says little.
            sizes = 8 + 60 * np.sqrt(counts / counts.max())
            curve.scatter(confidence, share, sizes, color=color, marker=marker, alpha=0.75, label=name, linewidth=0)
            histogram.hist(probs, bins=NUM_BINS, range=(0, 1), histtype="step", color=color)
        curve.set(ylabel="share that is true", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
        curve.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False, borderaxespad=0)
        histogram.set(xlabel=label, ylabel="rows", yscale="log")
        return _encode(figure)


def draw_roc(probs: np.ndarray, is_true: np.ndarray, threshold: float | None) -> str:
    """
    The ROC curve of one type against the rest.

    Args:
        probs (`np.ndarray` of shape `(num_rows,)`): probabilities of the type.
        is_true (`np.ndarray` of shape `(num_rows,)`): which rows are of the type.
        threshold (`float`, *optional*): marked on the curve where it is given.

    Returns:
        `str`: a PNG as a data URI.
    """
    false_positives, true_positives, _ = roc_curve(is_true, probs)
    with rc_context(_STYLE):
        axes = Figure(figsize=(3.6, 3.4)).subplots(gridspec_kw=_MARGINS)
        axes.plot([0, 1], [0, 1], color=GREY, linestyle=":")
        axes.plot(false_positives, true_positives, color=AFTER)
        if threshold is not None:
            chosen = probs >= threshold
            _mark(axes, chosen[~is_true].mean(), chosen[is_true].mean(), threshold)
        axes.set(xlabel="false positives / rows of no such type", ylabel="true positives / rows of the type")
        return _finish(axes)


def draw_precision_recall(probs: np.ndarray, is_true: np.ndarray, threshold: float | None) -> str:
    """
    The precision-recall curve of one type against the rest.

    Args:
        probs (`np.ndarray` of shape `(num_rows,)`): probabilities of the type.
        is_true (`np.ndarray` of shape `(num_rows,)`): which rows are of the type.
        threshold (`float`, *optional*): marked on the curve where it is given.

    Returns:
        `str`: a PNG as a data URI.
    """
    precision, recall, _ = precision_recall_curve(is_true, probs)
    with rc_context(_STYLE):
        axes = Figure(figsize=(3.6, 3.4)).subplots(gridspec_kw=_MARGINS)
        axes.axhline(is_true.mean(), color=GREY, linestyle=":")
        axes.plot(recall, precision, color=AFTER)
        if threshold is not None and (chosen := probs >= threshold).any():
            _mark(axes, chosen[is_true].mean(), is_true[chosen].mean(), threshold)
        axes.set(xlabel="recall", ylabel="precision")
        return _finish(axes)


def draw_confusion(counts: list[list[int]], names: tuple[str, ...]) -> str:
    """
    True classes by predicted ones, coloured by the share of the true class.

    Args:
        counts (`list[list[int]]`): rows of each true class, by predicted class.
        names (`tuple[str, ...]`): names of the classes.

    Returns:
        `str`: a PNG as a data URI.
    """
    matrix = np.array(counts)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    labels = [name.replace("_", "\n") for name in names]
    size = 1.5 + 0.47 * len(names)
    with rc_context(_STYLE):
        figure = Figure(figsize=(size, size), layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(matrix):
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color)
        axes.set_xticks(range(len(names)), labels, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(names)), labels)
        axes.set(xlabel="predicted", ylabel="true")
        return _encode(figure)


def _mark(axes: Axes, x: float, y: float, threshold: float) -> None:
    axes.plot(x, y, marker="o", color=AFTER, markersize=8, markerfacecolor="white", markeredgewidth=2)
    to_the_left = x > 0.5
    axes.annotate(
        f"threshold {threshold:.4g}",
        (x, y),
        xytext=(-10 if to_the_left else 10, 10 if y < 0.2 else -10),
        textcoords="offset points",
        ha="right" if to_the_left else "left",
        va="bottom" if y < 0.2 else "top",
    )


def _finish(axes: Axes) -> str:
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.04))
    return _encode(axes.figure)


def _encode(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
