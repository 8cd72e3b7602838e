"""What our build has reached is on the page, as it was measured."""

import json

import pytest

from recipes.smol.build_results import gates_table
from recipes.smol.fetch_packages import read_packages
from safe_llava.files import RECIPES


@pytest.fixture(scope="module")
def results() -> dict:
    return json.loads((RECIPES / "smol" / "results" / "results.json").read_text())


def test_the_page_shows_the_gates_of_the_committed_build(results, pages):
    assert gates_table(results) in pages


def test_the_committed_build_is_of_the_packages_of_now(results):
    assert results["packages"] == {
        f"{each.registry}:{each.name}": [each.version, each.sha256] for each in read_packages()
    }


def test_a_gate_that_was_missed_is_named_on_the_page(results, pages):
    missed = [each for gate in results["gates"].values() for each in gate["missed"]]
    assert missed and all(each in " ".join(pages.split()) for each in missed)
