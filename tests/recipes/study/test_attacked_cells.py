"""A cell is attacked with its defence on."""

import copy
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor
from typer.testing import CliRunner

from recipes.study import attacked_cells, rivals
from recipes.study.attack_tables import attack_table
from recipes.study.attacked_cells import aim_at
from recipes.study.cells import load_cells
from recipes.study.defended import Defended
from recipes.study.miniature_study import MINIATURE_STUDY
from safe_llava.evaluation.attacks.attack_row import draw_risky_rows
from safe_llava.evaluation.attacks.early_layers import moved_tower
from safe_llava.evaluation.attacks.prompt_changes import begin
from safe_llava.files import read_json
from safe_llava.inference import answer_dataset
from safe_llava.miniature import CHECKPOINT


STUDY = replace(MINIATURE_STUDY, num_probe_rows=60)


@pytest.fixture(scope="module")
def stock():
    return AutoModelForImageTextToText.from_pretrained(CHECKPOINT).eval(), AutoProcessor.from_pretrained(CHECKPOINT)


@pytest.fixture(scope="module")
def rows():
    return draw_risky_rows(STUDY.world, 3)


@pytest.mark.parametrize(("method", "options"), [("cmrm", {"alpha": 8.0}), ("safety_prefix", {})])
def test_hooks_and_words_are_on_while_a_layer_is_moved(stock, rows, method, options):
    model, processor = copy.deepcopy(stock[0]), stock[1]
    plain = aim_at(STUDY, Defended(model, processor))
    with moved_tower(model, 1):
        undefended = [reply.answer for reply in plain.ask(rows)]
    target = aim_at(STUDY, getattr(rivals, method)(STUDY, model, processor, 0, **options))
    steered = [reply.answer for reply in target.ask(rows)]
    with moved_tower(target.model, 1):
        moved = [reply.answer for reply in target.ask(rows)]
    assert moved != undefended
    assert moved != steered


def test_a_gradient_reaches_the_image_through_border_and_steering(stock, rows):
    model = copy.deepcopy(stock[0]).requires_grad_(False)
    rivals.safety_border.Frame(model, stock[1])
    target = aim_at(STUDY, rivals.cmrm(STUDY, model, stock[1], 0))
    inputs = target.encode(rows[:1])
    pixels = inputs["pixel_values"].requires_grad_()
    model(**inputs).logits[0, -1].max().backward()
    assert torch.isfinite(pixels.grad).all() and pixels.grad.any()


def test_a_defence_of_several_passes_is_asked_whole(stock, rows):
    asked = []

    def answer_rows(model, processor, dataset):
        asked.append([row["messages"][-2]["content"] for row in dataset])
        return [{"answer": "as it says"} for _ in dataset]

    target = aim_at(STUDY, Defended(*stock, answer_rows))
    assert [reply.answer for reply in target.ask(rows)] == ["as it says"] * len(rows)
    assert asked == [[row.question for row in rows]]
    with pytest.raises(ValueError, match="begin its answer"):
        target.ask([begin(rows[0], "Sure")])


def test_nobody_begins_the_answer_of_a_defence_of_several_passes(tmp_path, monkeypatch, stock):
    def answer_rows(model, processor, dataset):
        return [{"answer": "as it says"} for _ in dataset]

    monkeypatch.setattr(attacked_cells, "defend", lambda *how: Defended(*stock, answer_rows))
    cell, rows = load_cells(STUDY)["ecso"], draw_risky_rows(STUDY.world, 2)
    table = attacked_cells.attack_cell(STUDY, cell, 0, tmp_path, ["text", "together"], rows, 1, 1)
    tried = {figures["attack"] for figures in table}
    assert {"padding", "rotate+suffix"} < tried
    assert tried.isdisjoint({"prefill", "prefill_answer", "pgd/8+prefill"})


def test_rows_are_asked_as_the_study_asks_them(stock, rows):
    once = aim_at(STUDY, Defended(*stock))
    whole = replace(once, answer_rows=lambda *how: answer_dataset(*how))
    assert [reply.answer for reply in whole.ask(rows)] == [reply.answer for reply in once.ask(rows)]


@pytest.fixture
def attack(tmp_path, monkeypatch, stock):
    """The command on cells of the base, and which cells it made in all."""
    made = []

    def defend(study, cell, seed, output_dir, fields):
        made.append((cell.name, seed))
        return Defended(copy.deepcopy(stock[0]), stock[1])

    monkeypatch.setattr(attacked_cells, "defend", defend)
    app = attacked_cells.typer.Typer()
    app.command()(attacked_cells.main)

    def run(*options):
        whole = ["--output-dir", str(tmp_path), "--suite", "spread", "--seeds", "2", *options]
        return CliRunner().invoke(app, whole, catch_exceptions=False), made

    return run


def test_the_command_writes_figures_of_each_attack_and_cell(attack, tmp_path):
    done, made = attack("--rows", "2", "--cell", "base", "--cell", "davsp")
    assert made == [("base", 0), ("davsp", 0), ("davsp", 1)]
    results = read_json(tmp_path / "attacks.json")
    figures = results["cells"]["davsp"]
    assert {each["suite"] for each in figures} == {"spread"}
    assert all(len(each["answer"]["attacked"]["per_seed"]) == 2 and each["rows"] == 2 for each in figures)
    assert (tmp_path / "attacks.md").read_text() == attack_table(results["cells"]) and "any of spread" in done.output


def test_cells_that_are_attacked_one_by_one_stand_in_one_table_and_are_made_once(attack, tmp_path):
    for cell in ("davsp", "base", "davsp"):
        done, made = attack("--rows", "2", "--cell", cell)
    assert made == [("davsp", 0), ("davsp", 1), ("base", 0)]
    assert list(read_json(tmp_path / "attacks.json")["cells"]) == ["base", "davsp"]
    assert "`base`" in done.output and not done.stderr


def test_each_cell_says_what_it_was_attacked_on(attack, tmp_path, monkeypatch):
    for machine, cell in (("first", "davsp"), ("second", "base")):
        monkeypatch.setattr(attacked_cells, "describe_setting", lambda machine=machine: {"machine": machine})
        attack("--rows", "2", "--cell", cell)
    assert read_json(tmp_path / "attacks.json")["settings"] == {
        "base": {"machine": "second"},
        "davsp": {"machine": "first"},
    }


def test_figures_of_other_rows_are_not_joined_and_their_going_is_said(attack, tmp_path):
    attack("--rows", "2", "--cell", "base")
    done, _ = attack("--rows", "1", "--cell", "system_prompt")
    assert list(read_json(tmp_path / "attacks.json")["cells"]) == ["system_prompt"]
    assert "attacks.json is of other attacks" in done.stderr


def test_what_was_tried_is_not_tried_again(attack, tmp_path):
    attack("--rows", "2", "--cell", "base")
    outcomes = (tmp_path / "outcomes.jsonl").read_text()
    (tmp_path / "attacks.json").unlink()
    attack("--rows", "2", "--cell", "base")
    assert (tmp_path / "outcomes.jsonl").read_text() == outcomes


@pytest.mark.parametrize(("name", "said"), [("magic", "vlm_guard"), ("hints_off", "--policy")])
def test_a_cell_that_cannot_be_attacked_is_named_with_what_can(tmp_path, name, said):
    app = attacked_cells.typer.Typer()
    app.command()(attacked_cells.main)
    done = CliRunner().invoke(app, ["--output-dir", str(tmp_path), "--cell", name])
    assert done.exit_code != 0
    assert name in done.stderr and said in done.stderr
