"""Plots for a page, beside those that whoever calibrates draws."""

import importlib
import sys

import matplotlib


def test_drawing_leaves_the_plots_of_a_notebook_alone(monkeypatch):
    name = "safe_llava.calibration.calibration_plots"
    monkeypatch.setitem(matplotlib.rcParams, "backend", "svg")
    monkeypatch.delitem(sys.modules, name, raising=False)
    image = importlib.import_module(name).draw_confusion([[1, 0], [0, 1]], ("one", "other"))
    assert image.startswith("data:image/png")
    assert matplotlib.rcParams["backend"] == "svg"
