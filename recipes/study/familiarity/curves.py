"""Draws how many attacked images the detector finds, for how many clean ones it refuses."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import roc_curve


CLOSE_UP = 0.05
"""Share of clean images up to which the right panel goes."""


def draw_curves(scores: dict[str, tuple[np.ndarray, np.ndarray]], results: dict[str, Any], path: Path) -> None:
    """
    Draw an ROC curve for each attack; the right panel shows its beginning, where the threshold stands.

    Args:
        scores (`dict`): for each attack whether each row was attacked, and the detector's score of it.
        results (`dict`): figures of the run, with AUROCs for the legend.
        path (`Path`): the image file to write.
    """
    figure, (whole, close_up) = plt.subplots(1, 2, figsize=(13, 5.6), layout="constrained")
    colors = plt.get_cmap("tab20")
    for number, (name, (is_attacked, novelty)) in enumerate(scores.items()):
        wrong, right, _ = roc_curve(is_attacked, novelty, drop_intermediate=False)
        auroc = results["attacks"][name]["auroc"]["detector"]
        style = "--" if "known" in name else "-"
        for axes in (whole, close_up):
            axes.plot(wrong, right, style, color=colors(number % 20), label=f"{name} ({auroc:.2f})")
    whole.plot([0, 1], [0, 1], color="0.7", linestyle=":")
    close_up.set_xlim(0, CLOSE_UP)
    close_up.axvline(1 - results["calibration"]["share"], color="0.4", linestyle=":")
    close_up.set_title("the beginning; dotted: what the threshold is set to")
    whole.set_title(f"{results['rows']} risky rows of the miniature, clean and attacked")
    whole.set_ylabel("attacked images that are found")
    for axes in (whole, close_up):
        axes.set_xlabel("the same images, unattacked, that are refused")
        axes.set_ylim(0, 1.01)
        axes.grid(alpha=0.3)
    handles, labels = whole.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", fontsize=8, title="attack (AUROC)")
    figure.savefig(path, dpi=110)
    plt.close(figure)
