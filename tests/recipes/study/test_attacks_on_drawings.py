"""Every attack is made on the small LLaVA too, whose tower has one hidden state; here a stand-in of random weights."""

import pytest
from transformers import AutoModelForImageTextToText, AutoProcessor

from recipes.study.attacked_cells import aim_at
from recipes.study.defended import Defended
from recipes.study.smol_study import smol_study
from safe_llava.evaluation.attacks.attack_row import draw_risky_rows
from safe_llava.evaluation.attacks.attack_suites import ALL, SUITES, build_attacks, split_suites


@pytest.fixture(scope="module")
def study(smol_folder):
    return smol_study(smol_folder)


@pytest.fixture(scope="module")
def target(study):
    folder = study.world.base
    model = AutoModelForImageTextToText.from_pretrained(folder).eval()
    return aim_at(study, Defended(model, AutoProcessor.from_pretrained(folder)))


def test_every_attack_but_those_on_layers_is_made(study, target):
    attacks = build_attacks(split_suites([ALL]), target, study.world, steps=1, restarts=1)
    assert {attack.suite for attack in attacks} == set(SUITES) - {"icet"}
    rows = draw_risky_rows(study.world, 1)
    for attack in attacks:
        assert len(attack.attempt(target, rows)) == 1, attack.name


def test_a_suite_without_an_attack_on_this_tower_is_refused_with_the_reason(study, target):
    with pytest.raises(ValueError, match="one hidden state"):
        build_attacks(["icet"], target, study.world, 1, 1)
