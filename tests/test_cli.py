"""The command line: what it prints, and how it fails."""

import copy
import json
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from transformers import AutoModel
from typer.testing import CliRunner, Result

from safe_llava import SafetyPolicy, __version__
from safe_llava.cli import app
from safe_llava.data.sources import PUBLIC_SETS
from safe_llava.models.safety_labels import RISK_TYPES


ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def checkpoint(alarmed_safe_llava, tiny_processor, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    alarmed_safe_llava.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


@pytest.fixture
def image(make_image, tmp_path: Path) -> Path:
    make_image(2).save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def ask(checkpoint: Path, *arguments: object) -> Result:
    return run("ask", checkpoint, "--question", "What is this?", "--max-new-tokens", 24, "--device", "cpu", *arguments)


def write_policy(path: Path, values: dict) -> Path:
    path.write_text(json.dumps(values))
    return path


def refusing(text: str) -> dict:
    """A policy that refuses high risk in these words."""
    return {
        "types": {name: {"threshold": 0.001} for name in RISK_TYPES},
        "actions": {"high": "refuse"},
        "refusals": dict.fromkeys(RISK_TYPES, text),
    }


def test_version():
    assert run("--version").stdout.strip() == __version__


def test_ask_prints_what_generate_answers(
    checkpoint, alarmed_safe_llava, tiny_processor, image, make_image, assert_same_verdict
):
    result = json.loads(ask(checkpoint, "--image", image, "--json").stdout)
    parts = [{"type": "image", "image": make_image(2)}, {"type": "text", "text": "What is this?"}]
    inputs = tiny_processor.apply_chat_template(
        [{"role": "user", "content": parts}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    output = alarmed_safe_llava.generate(**inputs, max_new_tokens=24, do_sample=False, return_dict_in_generate=True)
    new_tokens = output.sequences[0, inputs["input_ids"].shape[1] :]
    assert result["answer"] == tiny_processor.decode(new_tokens, skip_special_tokens=True).strip()
    assert_same_verdict(result["verdict"], output.safety_verdict.to_list()[0])
    assert result["decision"]["action"] == output.safety_decisions[0].action == "hint"


def test_ask_shows_answer_verdict_probabilities_and_policy(checkpoint, image, tmp_path):
    policy = write_policy(tmp_path / "policy.json", refusing("No, thanks."))
    output = ask(checkpoint, "--image", image, "--policy", policy).stdout
    assert "answer   No, thanks." in output
    assert "refused" in output
    assert "level: none" in output
    assert "privacy" in output


def test_ask_takes_several_images_and_none(checkpoint, image):
    assert json.loads(ask(checkpoint, "--image", image, "--image", image, "--json").stdout)["verdict"]["has_image"]
    assert json.loads(ask(checkpoint, "--json").stdout)["verdict"] is None


def test_ask_draws_the_evidence_and_answers_as_without(checkpoint, image, tmp_path):
    arguments = ("--image", image, "--image", image, "--json")
    result = ask(checkpoint, *arguments, "--evidence", tmp_path / "new" / "why.png")
    assert json.loads(result.stdout)["answer"] == json.loads(ask(checkpoint, *arguments).stdout)["answer"]
    with Image.open(tmp_path / "new" / "why.png") as drawn:
        assert drawn.width > 2 * 448  # Two pictures side by side.


def test_a_policy_file_changes_the_stored_policy_and_keeps_the_rest(
    alarmed_safe_llava, tiny_processor, image, tmp_path
):
    stored = tmp_path / "refusing"
    model = copy.deepcopy(alarmed_safe_llava)
    model.set_safety_policy(refusing("Stored words."), tiny_processor)
    model.save_pretrained(stored)
    tiny_processor.save_pretrained(stored)
    changes = write_policy(tmp_path / "policy.json", {"several_risks": "strongest"})
    assert json.loads(ask(stored, "--image", image, "--policy", changes, "--json").stdout)["answer"] == (
        "Stored words."
    )


def test_policy_prints_the_stored_policy_as_json(checkpoint):
    assert SafetyPolicy.from_dict(json.loads(run("policy", checkpoint).stdout)) == SafetyPolicy()


def test_data_show_prints_every_set_in_a_line_and_one_as_its_label_map():
    lines = CliRunner().invoke(app, ["data", "show"]).output.splitlines()
    assert [line.split()[0] for line in lines] == list(PUBLIC_SETS)
    shown = CliRunner().invoke(app, ["data", "show", "vlguard"])
    assert yaml.safe_load(shown.output) == {"categories": dict(PUBLIC_SETS["vlguard"].categories)}


def test_data_show_names_the_sets_where_there_is_no_such_one():
    result = CliRunner().invoke(app, ["data", "show", "vlgard"])
    assert (result.exit_code, "no public set; there are psa, vlguard" in result.output) == (1, True)


def test_convert_writes_a_checkpoint_and_names_the_next_step(tiny_llava, tiny_llava_processor, tmp_path):
    tiny_llava.save_pretrained(tmp_path / "llava")
    tiny_llava_processor.save_pretrained(tmp_path / "llava")
    options = ("--num-safety-tokens", 2, "--num-safety-visual-tokens", 4, "--dtype", "bfloat16")
    result = run("convert", tmp_path / "llava", tmp_path / "output", *options, "--safety-head-pooling", "first")
    assert result.exit_code == 0
    assert "untrained" in result.stdout and "stage 1" in result.stdout
    config = AutoModel.from_pretrained(tmp_path / "output").config
    assert (config.num_safety_tokens, config.num_safety_visual_tokens) == (2, 4)
    assert (config.safety_head_pooling, config.dtype) == ("first", torch.bfloat16)


class TestFailures:
    """One line on standard error, no traceback; 2 where the command was mistyped, 1 where a file is bad."""

    def fail(self, result: Result, exit_code: int, *words: str) -> None:
        assert result.exit_code == exit_code
        assert isinstance(result.exception, SystemExit)
        assert all(word in " ".join(result.stderr.split()) for word in words), result.stderr
        assert result.stdout == ""

    def test_a_missing_image(self, checkpoint):
        self.fail(ask(checkpoint, "--image", "nowhere.png"), 2, "nowhere.png")

    def test_a_missing_question(self, checkpoint):
        self.fail(run("ask", checkpoint), 2, "--question")

    def test_evidence_without_a_image(self, checkpoint, tmp_path):
        self.fail(ask(checkpoint, "--evidence", tmp_path / "why.png"), 2, "--evidence", "--image")
        assert not (tmp_path / "why.png").exists()

    def test_evidence_in_no_image_format(self, checkpoint, image, tmp_path):
        self.fail(ask(checkpoint, "--image", image, "--evidence", tmp_path / "why.txt"), 1, "why.txt", ".png")

    def test_an_unreadable_image(self, checkpoint, tmp_path):
        (tmp_path / "text.png").write_text("no picture")
        self.fail(ask(checkpoint, "--image", tmp_path / "text.png"), 1, "text.png", "image format")

    def test_an_image_that_was_cut_off(self, checkpoint, image):
        image.write_bytes(image.read_bytes()[:-500])
        self.fail(ask(checkpoint, "--image", image), 1, "picture.png", "truncated")

    def test_a_policy_with_a_bad_field(self, checkpoint, image, tmp_path):
        bad = write_policy(tmp_path / "policy.json", {"types": {"privacy": {"threshold": 7}}})
        self.fail(ask(checkpoint, "--image", image, "--policy", bad), 1, "`types.privacy.threshold`", "7")

    def test_a_policy_that_names_a_field_twice(self, checkpoint, tmp_path):
        (tmp_path / "policy.json").write_text('{"actions": {"high": "refuse", "high": "answer"}}')
        self.fail(ask(checkpoint, "--policy", tmp_path / "policy.json"), 1, "policy.json", "`actions.high`")

    def test_a_stored_policy_that_is_none(self, checkpoint, tmp_path):
        config = json.loads((checkpoint / "config.json").read_text())
        config["safety_policy"]["temperature"] = {"level": 1e40, "type": 1.0}
        write_policy(tmp_path / "config.json", config)
        self.fail(run("policy", tmp_path), 1, "`temperature.level`")

    def test_a_policy_that_is_no_json(self, checkpoint, image, tmp_path):
        (tmp_path / "policy.json").write_text("{")
        self.fail(ask(checkpoint, "--policy", tmp_path / "policy.json"), 1, "policy.json", "not valid JSON")

    def test_a_model_that_does_not_exist(self, tmp_path):
        self.fail(ask(tmp_path / "nowhere"), 1, "nowhere", "neither as a folder nor as a Hub id")

    def test_a_folder_that_is_no_model(self, tmp_path):
        self.fail(ask(tmp_path), 1, "config.json")

    def test_a_stock_llava_is_sent_to_convert(self, tiny_llava, tmp_path):
        tiny_llava.save_pretrained(tmp_path)
        self.fail(ask(tmp_path), 1, "safe-llava convert")

    def test_an_output_that_is_not_empty(self, checkpoint):
        self.fail(run("convert", checkpoint, checkpoint), 1, "is not empty")
