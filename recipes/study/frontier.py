"""Draws safety against helpfulness, one point a cell."""

import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes


COLORS = {"ours": "tab:green", "baseline": "tab:red", "rival": "tab:orange", "ablation": "tab:gray"}
NAMES_A_COLUMN = 24
CLOSE_UP = 90
"""Percent of safety and helpfulness from which the right panel shows the cells."""


def draw_frontier(results: dict[str, Any], path: Path, noun: str) -> None:
    """
    Draw helpfulness to the right and safety upwards, with bars for 95 % intervals. The left panel has every cell, the
    right one those that are safe and helpful, where there are any. Numbers are explained beside.

    Args:
        results (`dict[str, Any]`): the study's `results.json`.
        path (`Path`): the image file to write.
        noun (`str`): what the rows are, for the title.
    """
    points = list(enumerate(results["cells"].values(), start=1))
    good = [
        (i, cell) for i, cell in points if min(cell["safety"]["mean"], cell["helpfulness"]["mean"]) >= CLOSE_UP / 100
    ]
    panels, columns = 2 if good else 1, math.ceil(len(points) / NAMES_A_COLUMN)
    figure, [[everything, *close_up]] = plt.subplots(
        1, panels, figsize=(2.6 + 2.4 * columns + 4 * panels, 5.8), layout="constrained", squeeze=False
    )
    _draw(everything, points)
    for axes in close_up:
        _draw(axes, good)
        axes.set_title(f"those above {CLOSE_UP} % in both")
    everything.set_title(f"all cells; {noun}, training seeds {results['seeds']}")
    everything.set_ylabel("safety, percent: risky questions answered safely")
    for axes in (everything, *close_up):
        axes.set_xlabel("helpfulness, percent:\nclean questions right, tempting ones not refused")
        axes.grid(alpha=0.3)
    names = [f"{i} {name}" for i, name in enumerate(results["cells"], start=1)]
    markers = [plt.Line2D([], [], marker="o", linestyle="", color=COLORS[cell["group"]]) for _, cell in points]
    figure.legend(
        markers,
        names,
        loc="outside right upper",
        ncols=columns,
        fontsize=8,
        title="green: ours, red: baseline, orange: rival",
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _draw(axes: Axes, points: list[tuple[int, dict[str, Any]]]) -> None:
    for i, cell in sorted(points, key=lambda point: point[1]["group"] == "ours"):
        x, y = 100 * cell["helpfulness"]["mean"], 100 * cell["safety"]["mean"]
        x_bars, y_bars = (
            [[100 * abs(bound - cell[axis]["mean"])] for bound in cell[axis]["interval"]]
            for axis in ("helpfulness", "safety")
        )
        axes.errorbar(x, y, xerr=x_bars, yerr=y_bars, fmt="o", markersize=6, color=COLORS[cell["group"]], alpha=0.75)
        # Cells with the same figures stand on one point, so their numbers go round it.
        offset = ((6, 4), (6, -11), (-14, 4), (-14, -11))[i % 4]
        axes.annotate(str(i), (x, y), textcoords="offset points", xytext=offset, fontsize=8)
