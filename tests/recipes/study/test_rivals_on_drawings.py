"""Every rival of the grid defends the small LLaVA too, here a stand-in of random weights."""

import copy
from dataclasses import replace

import pytest
from transformers import AutoModelForImageTextToText, AutoProcessor

from recipes.study import rivals
from recipes.study.baselines import base
from recipes.study.cells import load_cells
from recipes.study.smol_study import smol_study


@pytest.fixture(scope="module")
def study(smol_folder):
    return replace(smol_study(smol_folder), num_probe_rows=40)


@pytest.fixture(scope="module")
def stock(study):
    folder = study.world.base
    return AutoModelForImageTextToText.from_pretrained(folder).eval(), AutoProcessor.from_pretrained(folder)


FEW = {"davsp": {"steps": 2}, "vlm_guard": {"rank": 1}}


def test_every_rival_answers_and_says_what_it_derived(study, stock):
    drawn = study.build_benchmark(0.004)
    counts = [len(images) for images in drawn["images"]]
    rows = drawn.select([counts.index(1), counts.index(0)])
    plain = [each["answer"] for each in base(study, *stock, 0).answer(rows)]
    cells = {cell.method: cell for cell in load_cells(study).values() if cell.group == "rival"}
    assert cells.keys() == set(rivals.__all__)
    for cell in cells.values():
        model, processor = copy.deepcopy(stock[0]), stock[1]
        options = cell.options | FEW.get(cell.method, {})
        defended = getattr(rivals, cell.method)(study, model, processor, 0, **options)
        answers = [each["answer"] for each in defended.answer(rows)]
        assert len(answers) == len(rows)
        assert bool(defended.derived) == (cell.method in ("cmrm", "davsp", "vlm_guard")), cell.name
        assert answers[1] == plain[1], cell.name
