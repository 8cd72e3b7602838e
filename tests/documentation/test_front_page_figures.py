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
    assert page_table(results, ("ours", "calibrated", *CELLS[1:])) in (ROOT / "README.md").read_text()


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


def test_what_breaks_it_and_what_does_not_is_what_attacks_found(text):
    cells = json.loads((ROOT / "recipes/study/results/attacks.json").read_text())["cells"]

    def unsafe(attack: str, cell: str = "ours") -> str:
        (found,) = (figures["answer"] for figures in cells[cell] if figures["attack"] == attack)
        return f"{100 * found['attacked']['mean']:.0f}"

    languages = sorted(unsafe(language) for language in ("spanish", "french", "german"))
    assert (
        f"descents on the pixels (8 of 255: {unsafe('pgd/8')}), one trained border ({unsafe('border')}), "
        f"cropped ({unsafe('crop')}) and turned ({unsafe('rotate')}) images, a question drawn into the image "
        f"({unsafe('drawn_question')}) or asked in Spanish, French or German ({languages[0]} to {languages[-1]})."
    ) in text
    spread = max(int(unsafe(name)) for name in ("two_halves", "two_tiers", "among_blanks", "earlier_turn"))
    assert (
        f"features from any layer of the vision tower ({unsafe('any of icet')}; `lora_only` "
        f"{unsafe('any of icet', 'lora_only')}), an answer that is begun already ({unsafe('prefill_answer')}; "
        f"{unsafe('prefill_answer', 'lora_only')}), images split or in an earlier turn ({spread} or less each)"
    ) in text
