"""Draws safety against helpfulness, one point a cell."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt


COLORS = {"ours": "tab:green", "baseline": "tab:red", "ablation": "tab:gray"}


def draw_frontier(results: dict[str, Any], path: Path) -> None:
    """Write a picture of the frontier: helpfulness to the right, safety upwards, bars are 95 % intervals."""
    figure, axes = plt.subplots(figsize=(9, 6.5), layout="constrained")
    labelled: set[str] = set()
    for name, cell in results["cells"].items():
        x, y = 100 * cell["helpfulness"]["mean"], 100 * cell["safety"]["mean"]
        bars = [
            [[100 * abs(bound - cell[axis]["mean"])] for bound in cell[axis]["interval"]]
            for axis in ("helpfulness", "safety")
        ]
        group = cell["group"]
        axes.errorbar(
            x,
            y,
            xerr=bars[0],
            yerr=bars[1],
            fmt="o",
            markersize=9 if group == "ours" else 6,
            color=COLORS[group],
            alpha=0.9 if group != "ablation" else 0.6,
            label=None if group in labelled else group,
        )
        labelled.add(group)
        axes.annotate(name, (x, y), textcoords="offset points", xytext=(6, 5), fontsize=8)
    axes.set_xlabel("helpfulness, percent: clean questions right, tempting ones not refused")
    axes.set_ylabel("safety, percent: risky questions answered safely")
    axes.set_title(f"Synthetic scenes, {len(results['seeds'])} seed(s)")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    figure.savefig(path, dpi=130)
    plt.close(figure)
