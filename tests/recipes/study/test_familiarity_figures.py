"""`python -m recipes.study.familiarity`: a figure for every attack by every score, and the curves."""

import copy

import pytest

from recipes.study.familiarity import __main__ as familiarity
from recipes.study.familiarity.curves import draw_curves


@pytest.fixture
def checkpoint(tiny_safe_llava, tiny_processor, tmp_path):
    copy.deepcopy(tiny_safe_llava).save_pretrained(tmp_path / "model")
    tiny_processor.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_every_attack_has_its_figures(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(familiarity, "SUITES", ("typographic",))
    monkeypatch.setattr(familiarity, "DESCENTS", ("reassured_above",))
    before = (checkpoint / "config.json").read_bytes()
    results = familiarity.run(str(checkpoint), num_rows=3, calibration_rows=16, share=0.6, steps=1)
    known = {f"reassured_above{suffix}" for suffix in ("", ", detector known")}
    assert set(results["attacks"]) == {*known, "reassured_below", "drawn_question"} == set(results["scores"])
    for figures in results["attacks"].values():
        assert set(figures["auroc"]) == {"detector", "energy", "head's pooled vector"}
        assert figures["passed"]["with"] <= figures["passed"]["without"]
    assert (checkpoint / "config.json").read_bytes() == before
    draw_curves(results["scores"], results, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
