"""A run of attacks: what it leaves, how it goes on, and what it refuses."""

import json
import re

import pytest
from typer.testing import CliRunner

from safe_llava.cli import app
from safe_llava.evaluation.attacks.attack_row import draw_risky_rows
from safe_llava.evaluation.attacks.attack_table import COLUMNS, write_attack_card
from safe_llava.evaluation.attacks.attack_target import AttackTarget
from safe_llava.evaluation.attacks.run_attacks import run_attacks
from safe_llava.miniature.miniature_world import MINIATURE_WORLD
from tests.family_members import MEMBERS, build_member


NUM_ROWS = 3


@pytest.fixture(scope="module")
def checkpoint(tiny_safe_llava, tiny_processor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacked") / "model"
    tiny_safe_llava.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


def attack(checkpoint, folder, *suites: str, **arguments):
    options = {"num_rows": NUM_ROWS, "steps": 1, "restarts": 1, "device": "cpu", **arguments}
    return run_attacks(checkpoint, folder, MINIATURE_WORLD, suites, **options)


@pytest.fixture(scope="module")
def finished(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return folder, attack(checkpoint, folder, "spread", "pixels")


@pytest.mark.parametrize("model_type", MEMBERS)
def test_every_member_of_the_family_is_attacked_as_it_is_shipped(model_type, tmp_path):
    member = build_member(model_type)
    member.model.save_pretrained(tmp_path / "model")
    member.processor.save_pretrained(tmp_path / "model")
    results = attack(tmp_path / "model", tmp_path / "attacks", "spread")
    assert all(figures["head"] and figures["decision"] for figures in results["attacks"])


def read_outcomes(folder) -> list[dict]:
    return [json.loads(line) for line in (folder / "outcomes.jsonl").read_text().splitlines()]


def test_rows_hold_a_risk_and_an_image_and_are_the_same_each_time():
    rows = draw_risky_rows(MINIATURE_WORLD, 30)
    assert len({row.key for row in rows}) == 30
    assert all(row.safety_level > 0 and row.images for row in rows)
    assert [row.key for row in rows] == [row.key for row in draw_risky_rows(MINIATURE_WORLD, 30)]
    assert {row.key for row in rows}.isdisjoint(row.key for row in draw_risky_rows(MINIATURE_WORLD, 30, seed=1))


def test_every_outcome_is_kept_by_model_attack_row_and_seed(finished):
    folder, results = finished
    outcomes = read_outcomes(folder)
    keys = {tuple(outcome[name] for name in ("model", "attack", "row", "seed")) for outcome in outcomes}
    assert len(keys) == len(outcomes) == NUM_ROWS * (1 + 4 + 4)
    assert [figures["attack"] for figures in results["attacks"] if figures["suite"] == "pixels"] == [
        *("pgd/4", "pgd/8", "pgd/16", "pgd_jpeg/8"),
        "any of pixels",
    ]
    assert json.loads((folder / "results.json").read_text()) == results


def test_a_killed_run_goes_on_where_it_was(finished, checkpoint, tmp_path, monkeypatch):
    folder, results = finished
    for name in ("settings.json", "outcomes.jsonl"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    lines = (tmp_path / "outcomes.jsonl").read_bytes().splitlines(keepends=True)
    # Killed in the middle of a line, with the last attack but begun.
    (tmp_path / "outcomes.jsonl").write_bytes(b"".join(lines[:-2]) + lines[-2][:30])
    asked, ask = [], AttackTarget.ask
    monkeypatch.setattr(AttackTarget, "ask", lambda self, rows, *more: asked.extend(rows) or ask(self, rows, *more))
    again = attack(checkpoint, tmp_path, "spread", "pixels")
    assert {row.key for row in asked} == {json.loads(line)["row"] for line in lines[-2:]}
    assert again["attacks"] == results["attacks"]
    assert len(read_outcomes(tmp_path)) == len(lines)


def test_other_settings_are_refused(finished, checkpoint):
    with pytest.raises(ValueError, match="steps changed"):
        attack(checkpoint, finished[0], "spread", steps=2)


def test_a_line_that_is_no_outcome_is_named(finished, checkpoint, tmp_path):
    (tmp_path / "outcomes.jsonl").write_text('{"model": "m"}\n')
    with pytest.raises(ValueError, match=r"outcomes\.jsonl, line 1, is no outcome"):
        attack(checkpoint, tmp_path, "spread")


def test_an_unknown_suite_is_refused_before_anything_is_loaded(tmp_path):
    with pytest.raises(ValueError, match="no suite 'pixel'; there are icet"):
        attack("nowhere", tmp_path, "pixel")


def test_a_model_without_a_head_is_attacked_and_has_no_policy_to_change(
    tiny_llava, tiny_llava_processor, tmp_path_factory
):
    folder = tmp_path_factory.mktemp("stock")
    tiny_llava.save_pretrained(folder / "model")
    tiny_llava_processor.save_pretrained(folder / "model")
    results = attack(folder / "model", folder / "out", "spread", num_rows=1)
    assert all(figures["head"] is None for figures in results["attacks"])
    with pytest.raises(ValueError, match="no safety policy to change"):
        attack(folder / "model", folder / "other", "spread", safety_policy={"several_risks": "all"})


def test_the_page_holds_everything_it_shows(finished):
    page = (finished[0] / "examples.html").read_text()
    assert page.count("<h2>") == NUM_ROWS
    assert "pgd/16" in page and "data:image/png;base64," in page
    assert re.findall(r"(?:src|href)=\"(?!data:)", page) == []
    assert "<script" not in page


def test_the_card_gets_the_table_and_the_model_counts_as_the_same(finished, checkpoint):
    card = write_attack_card(checkpoint, finished[1]).read_text()
    assert f"| {' | '.join(COLUMNS)} |" in card
    assert f"| any of pixels | {NUM_ROWS} |" in card
    assert attack(checkpoint, finished[0], "spread")["model_files"] == finished[1]["model_files"]


def test_a_card_does_not_speak_of_a_changed_policy(finished, checkpoint):
    with pytest.raises(ValueError, match="changed policy"):
        write_attack_card(checkpoint, {**finished[1], "safety_policy": {"several_risks": "all"}})


def test_the_command_prints_the_table(checkpoint, tmp_path):
    arguments = ["attack", checkpoint, "--output-dir", tmp_path, "--suite", "spread", "--rows", "1", "--device", "cpu"]
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output
    assert "two_halves" in result.stdout and "examples.html" in result.stdout
