"""Commands that take a SafeLLaVA take a LLaVA-NeXT and a LLaVA-OneVision: images of any size, one or several a row."""

import json
from pathlib import Path

import pytest
from datasets import Dataset, Features, Image, List, Value
from PIL import Image as PILImage
from typer.testing import CliRunner

from safe_llava.audit.verdict_table import read_verdicts
from safe_llava.checkpoints import load_guard, load_safe_llava
from safe_llava.cli import app
from safe_llava.inference import encode_question
from safe_llava.models.safety_texts import NEUTRAL_QUESTION
from tests.family_members import MEMBERS, alarm, build_member


pytestmark = pytest.mark.own_logic
SIZES = [(40, 30), (31, 97), (90, 20), (30, 30)]


@pytest.fixture(scope="module", params=MEMBERS)
def checkpoint(request, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("family") / request.param
    member = build_member(request.param)
    alarm(member.model).save_pretrained(folder)
    member.processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(make_image, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for seed, size in enumerate(SIZES):
        make_image(seed, *size).save(folder / f"{seed}.png")
    return folder


@pytest.fixture(scope="module")
def rows(make_image, tmp_path_factory) -> Path:
    """24 labelled rows, every third with two images."""
    rows = []
    for index in range(24):
        images = [make_image(index + extra, *SIZES[(index + extra) % 4]) for extra in range(1 + (index % 3 == 0))]
        turns = [{"role": "user", "content": f"Is number {index} a cat?"}, {"role": "assistant", "content": "Yes."}]
        level, risk_type = (0, 6) if index % 2 else (3, index // 2 % 5)
        rows.append({"messages": turns, "images": images, "safety_level": level, "safety_type": risk_type})
    turn, labels = {"role": Value("string"), "content": Value("string")}, {"safety_level": Value("int64")}
    labels |= {"safety_type": Value("int64")}
    folder = tmp_path_factory.mktemp("rows")
    features = Features({"messages": List(turn), "images": List(Image()), **labels})
    Dataset.from_list(rows, features=features).save_to_disk(folder)
    return folder


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_ask_answers_and_draws_the_evidence(checkpoint, folder, tmp_path):
    images = [argument for name in ("0.png", "1.png") for argument in ("--image", folder / name)]
    arguments = ("ask", checkpoint, "--question", "Who?", *images, "--max-new-tokens", 4, "--json")
    said = json.loads(run(*arguments))
    assert (said["verdict"]["level"], said["decision"]["action"]) == ("high", "hint")
    drawn = json.loads(run(*arguments, "--evidence", tmp_path / "why.png"))
    assert drawn["answer"] == said["answer"]
    assert (tmp_path / "why.png").is_file()


def test_audit_gives_each_image_the_verdict_that_the_whole_model_gives(checkpoint, folder, tmp_path):
    run("audit", folder, "--model", checkpoint, "--output-dir", tmp_path / "audit")
    table = {row["key"]: row for row in read_verdicts(tmp_path / "audit").to_pylist()}
    model, processor = load_safe_llava(checkpoint, "cpu")
    assert len(table) == len(SIZES)
    for name, row in table.items():
        inputs = encode_question(model, processor, NEUTRAL_QUESTION, [PILImage.open(folder / name)])
        assert row["level_prob_high"] == pytest.approx(model.assess(**inputs).level_probs[0, 3].item(), abs=1e-5)


def test_calibrate_assesses_every_row(checkpoint, rows, tmp_path, monkeypatch):
    monkeypatch.setattr("safe_llava.calibration.run_calibration.write_report", lambda *_: None)
    run("calibrate", checkpoint, rows, "--output-dir", tmp_path, "--min-examples", 3)
    assert json.loads((tmp_path / "calibration.json").read_text())["counts"]["rows"] == 24


def test_a_guard_is_loaded_from_the_checkpoint_of_a_whole_model(checkpoint):
    guard, processor = load_guard(checkpoint, "cpu")
    assert not guard.can_generate()
    assert guard.explain_distrust() is None
    assert processor.model_type == guard.config.model_type


def test_inspects_model_answers_batches_that_mix(checkpoint, make_image):
    local_model = pytest.importorskip("safe_llava.evaluation.inspect.local_model", reason="inspect-ai is missing")
    model = local_model.LocalModel(str(checkpoint), device="cpu")

    def prompt(*sizes):
        images = [{"type": "image", "image": make_image(seed, *size)} for seed, size in enumerate(sizes)]
        return model.read([{"role": "user", "content": [*images, {"type": "text", "text": "Who?"}]}])

    prompts = [prompt(SIZES[0]), prompt(), prompt(*SIZES)]
    settings = local_model.Settings(max_new_tokens=4)
    together = model.answer(prompts, settings)
    assert [reply.text for reply in together] == [model.answer([each], settings)[0].text for each in prompts]
    assert together[0].metadata["safety_decision"]["action"] == "hint"
