"""What the front page says was measured is what the committed results say."""

import json
import re

import pytest
from documentation.pages import ROOT

from recipes.study.miniature_study import HELPFUL, OVER_REFUSAL, UNSAFE
from recipes.study.smol_study import page_table
from recipes.study.study_tables import markdown_table


CELLS = ("ours", "base", "lora_only")


@pytest.fixture(scope="module")
def text() -> str:
    return re.sub(r"\s+", " ", (ROOT / "README.md").read_text())


def test_its_table_is_the_study_s():
    results = json.loads((ROOT / "recipes/study/results/results.json").read_text())
    columns = {f"unsafe: {claim}": UNSAFE[claim] for claim in ("risky", "restyled", "pair", "attack")}
    columns |= {f"refused: {claim}": OVER_REFUSAL[claim] for claim in ("look_alike", "pair")}
    columns |= {"clean: right": HELPFUL["clean: right"]}
    assert markdown_table(results, columns, CELLS) in (ROOT / "README.md").read_text()


def test_its_table_of_drawings_is_the_study_s():
    results = json.loads((ROOT / "recipes/study/results/smol/results.json").read_text())
    assert page_table(results, CELLS) in (ROOT / "README.md").read_text()


def test_its_costs_are_those_that_were_counted_at_7b(text):
    results = json.loads((ROOT / "recipes/benchmark/results/llava-1.5-7b.json").read_text())
    flops = results["flops"]
    shares = [results["parameters"]["added"] / results["parameters"]["stock"]]
    shares += [flops[way]["first_token"] / flops["stock"]["first_token"] - 1 for way in ("answering", "hinting")]
    shares += [1 - flops["refusing"]["first_token"] / flops["stock"]["first_token"]]
    sentence = (
        "{} % more parameters, and {} % more FLOPs to the first token, {} % after a hint, {} % fewer when refused"
    )
    assert sentence.format(*(f"{100 * share:.1f}" for share in shares)) in text
