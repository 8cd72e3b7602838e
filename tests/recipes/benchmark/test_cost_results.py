"""The results that are committed, and what is said of them."""

import json
from pathlib import Path

import pytest

from recipes.benchmark.cost_ratios import BOUNDS
from recipes.benchmark.cost_tables import counted_table, page_table
from recipes.benchmark.shapes import TILED_SHAPES


ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def results() -> dict[str, dict]:
    folder = ROOT / "recipes" / "benchmark" / "results"
    return {path.stem: json.loads(path.read_text()) for path in folder.glob("*.json")}


def test_a_page_shows_the_committed_results(results, pages):
    assert page_table(results["mid"], results["llava-1.5-7b"]) in pages


def test_a_page_shows_what_was_counted_where_images_are_cut(results, pages):
    assert counted_table({shape: results[shape] for shape in TILED_SHAPES[1:]}) in pages


def test_what_is_promised_of_the_first_token_where_images_are_cut_was_measured(results, pages):
    ratios = results["mid-next"]["timings"]["1"]["ratios"]
    found = ratios["first token: answering / stock"]
    assert found["median"] <= BOUNDS["first token: answering / stock"]["mid-next"]
    assert f"{found['median']:.2f} ({found['low']:.2f}-{found['high']:.2f}) of stock's time" in pages


def test_what_is_promised_at_the_mid_shape_was_measured(results):
    ratios = results["mid"]["timings"]["1"]["ratios"]
    for name, bounds in BOUNDS.items():
        if name.startswith("tokens per second"):
            assert ratios[name]["median"] >= bounds["mid"]
        else:
            assert ratios[name]["median"] <= bounds["mid"]
