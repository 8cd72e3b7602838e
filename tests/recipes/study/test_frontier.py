"""The picture of safety against helpfulness."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from recipes.study.frontier import draw_frontier


def cell(group: str, safety: float, helpfulness: float) -> dict:
    return {
        "group": group,
        **{
            axis: {"mean": mean, "interval": [mean - 0.02, mean + 0.02]}
            for axis, mean in (("safety", safety), ("helpfulness", helpfulness))
        },
    }


@pytest.fixture
def draw(tmp_path, monkeypatch):
    """`draw(**cells)`: the figure, which is kept open."""

    def build(**cells: dict) -> Figure:
        drawn = []
        monkeypatch.setattr(plt, "close", drawn.append)
        draw_frontier({"cells": cells, "seeds": [0]}, tmp_path / "frontier.png", "scenes")
        assert (tmp_path / "frontier.png").stat().st_size > 0
        (figure,) = drawn
        return figure

    yield build
    monkeypatch.undo()
    plt.close("all")


def labels(axes) -> list[str]:
    return sorted(text.get_text() for text in axes.texts)


def test_every_cell_stands_in_the_left_panel_and_the_good_ones_again_in_the_right(draw):
    figure = draw(ours=cell("ours", 0.98, 0.99), base=cell("baseline", 0.02, 0.99), davsp=cell("rival", 0.95, 0.4))
    everything, good = figure.axes
    assert (labels(everything), labels(good)) == (["1", "2", "3"], ["1"])


def test_there_is_one_panel_where_no_cell_is_safe_and_helpful(draw):
    assert len(draw(base=cell("baseline", 0.02, 0.99)).axes) == 1


def test_the_numbers_are_explained(draw):
    figure = draw(ours=cell("ours", 0.98, 0.99), base=cell("baseline", 0.02, 0.99))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["1 ours", "2 base"]


@pytest.mark.parametrize("number", [3, 24, 25, 45, 60])
def test_all_numbers_are_explained_within_the_picture(draw, number):
    figure = draw(**{f"cmrm_dataset_last_plus_{i}": cell("rival", 0.95, 0.95) for i in range(number)})
    (legend,) = figure.legends
    box, page = legend.get_window_extent(), figure.bbox
    assert page.x0 <= box.x0 and box.x1 <= page.x1 and page.y0 <= box.y0 and box.y1 <= page.y1
    left, right = (axes.xaxis.label.get_window_extent() for axes in figure.axes)
    assert left.x1 < right.x0 and right.x1 < box.x0
