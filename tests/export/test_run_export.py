"""An exported guard decides as its model, and works where there is neither torch nor this package."""

import copy
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import pipeline
from typer.testing import CliRunner

from safe_llava.cli import app
from safe_llava.export.run_export import describe, quantise, run_export
from safe_llava.export.traceable_guard import TraceableGuard, trace
from safe_llava.models.modeling_safe_llava import SafeLlavaForSafetyClassification
from safe_llava.models.onnx_guard import OnnxGuard
from safe_llava.models.safety_guarantee import digest_decisions


@pytest.fixture(scope="module")
def checkpoint(tiny_safe_llava, tiny_processor, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    model = copy.deepcopy(tiny_safe_llava)
    model.set_safety_policy({"temperature": {"type": 0.5}, "actions": {"high": "refuse"}}, tiny_processor)
    model.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def exported(checkpoint, tmp_path_factory) -> Path:
    """What `safe-llava export` leaves: the folder beside the ONNX file, under a name that is no identifier."""
    path = tmp_path_factory.mktemp("exported") / "my-guard.onnx"
    result = CliRunner().invoke(app, ["export", str(checkpoint), str(path), "--scenes", "24"])
    assert result.exit_code == 0, result.output
    return path.with_suffix("")


@pytest.fixture(scope="module")
def samples(make_image) -> list[dict]:
    """Images of several shapes, one to three in a sample, with and without a question, some with a special token."""
    images = [make_image(number).resize(size) for number, size in enumerate([(40, 40), (90, 30), (31, 77)] * 3)]
    texts = ["Who is this?", None, "What <image> is </s> in here?", "a " * 30]
    return [
        {"images": images[number : number + 1 + number % 3], **({} if text is None else {"text": text})}
        for number, text in enumerate([*texts, *texts[:2]])
    ]


def test_it_gives_what_the_pipeline_gives(exported, checkpoint, samples):
    pipe = pipeline("safety-classification", model=str(checkpoint), device="cpu")
    own, found = pipe(samples, batch_size=len(samples)), OnnxGuard(exported)(samples)
    for ours, theirs in zip(own, found, strict=True):
        for name in ("level_probs", "type_probs"):
            assert list(theirs[name].values()) == pytest.approx(list(ours[name].values()), abs=1e-4)
        assert theirs.items() >= {name: ours[name] for name in ("level", "type", "trusted", "decision")}.items()


def test_a_sample_is_assessed_alone_as_among_others(exported, samples):
    guard = OnnxGuard(exported)
    for sample, together in zip(samples, guard(samples)):
        assert list(guard([sample])[0]["type_probs"].values()) == pytest.approx(
            list(together["type_probs"].values()), abs=1e-5
        )


def test_the_policy_can_be_changed(exported, samples):
    off = {"types": {name: {"enabled": False} for name in OnnxGuard(exported).policy.types}}
    assert {found["decision"]["action"] for found in OnnxGuard(exported, off)(samples)} == {"answer"}


def test_its_report_says_how_far_it_decides_alike(exported):
    report = json.loads((exported / "export.json").read_text())
    assert report["parity"]["rows"] == report["parity"]["alike"] > 20
    assert report["parity"]["flips"] == []
    assert 0 < report["parity"]["largest_difference"] < 1e-3


def test_a_folder_of_images_is_assessed_without_torch_and_without_the_package(exported, make_image, tmp_path):
    for number in range(3):
        make_image(number).save(tmp_path / f"{number}.png")
    (tmp_path / "broken.jpg").write_text("no image")
    code = (
        "import runpy, sys\n"
        "for name in ('torch', 'transformers', 'safe_llava', 'datasets', 'scipy'): sys.modules[name] = None\n"
        f"sys.argv = ['guard', {str(tmp_path)!r}, '--text', 'Who is this?', '--batch-size', '2']\n"
        f"runpy.run_path({str(exported)!r}, run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(line["image"]).name for line in lines] == ["0.png", "1.png", "2.png", "broken.jpg"]
    assert all(line["decision"]["action"] in ("answer", "hint", "refuse") for line in lines[:3])
    assert "no image format" in lines[3]["unreadable"]


def test_another_onnx_file_is_refused(exported, tmp_path):
    folder = tmp_path / "my-guard"
    folder.mkdir()
    for name in ("guard.json", "tokenizer.json", "chat_template.jinja"):
        (folder / name).write_bytes((exported / name).read_bytes())
    (tmp_path / "my-guard.onnx").write_bytes(exported.with_suffix(".onnx").read_bytes() + b"\0")
    with pytest.raises(ValueError, match="is not the file that was exported with"):
        OnnxGuard(folder)


def test_torch_exports_the_same_forward_with_any_number_of_rows_images_and_tokens(checkpoint):
    guard = SafeLlavaForSafetyClassification.from_pretrained(checkpoint).eval()
    size = guard.config.vision_config.image_size
    program = trace(guard, size, size).module()
    drawn = torch.Generator().manual_seed(0)
    inputs = (
        torch.randint(0, 50, (2, 5), generator=drawn),
        torch.ones(2, 5, dtype=torch.bool),
        torch.randn(3, 3, size, size, generator=drawn),
        torch.tensor([0, 1, 2]),
        torch.tensor([0, 1, 1]),
    )
    with torch.no_grad():
        for own, found in zip(TraceableGuard(guard)(*inputs), program(*inputs)):
            torch.testing.assert_close(found, own)


def test_8_bit_weights_are_smaller_and_change_little(exported, samples, tmp_path):
    onnx = shutil.copyfile(exported.with_suffix(".onnx"), tmp_path / "my-guard.onnx")
    folder = Path(shutil.copytree(exported, tmp_path / "my-guard"))
    quantise(onnx)
    settings = json.loads((folder / "guard.json").read_text())
    settings["sha256"] = hashlib.sha256(onnx.read_bytes()).hexdigest()
    (folder / "guard.json").write_text(json.dumps(settings))
    assert onnx.stat().st_size < exported.with_suffix(".onnx").stat().st_size
    for ours, theirs in zip(OnnxGuard(exported)(samples), OnnxGuard(folder)(samples)):
        assert ours != theirs
        assert list(theirs["type_probs"].values()) == pytest.approx(list(ours["type_probs"].values()), abs=0.2)


@pytest.mark.parametrize("int8", [False, True])
def test_a_guarantee_goes_along_but_not_to_other_weights(int8, checkpoint, tiny_processor):
    guard = SafeLlavaForSafetyClassification.from_pretrained(checkpoint)
    stored: dict = guard.config.safety_policy
    guarantee = {"promises": {}, "confidence": 0.9, "rows": {}, "decisions": digest_decisions(stored)}
    guard.config.safety_policy = stored | {
        "guarantee": {**guarantee, "weights": guard.config.safety_training["digests"][0]}
    }
    policy = describe(guard, tiny_processor, "guard.onnx", "digest", int8)["policy"]
    assert ("guarantee" in policy) != int8


class TestRefusals:
    """Nothing is left that could be taken for a guard."""

    def test_another_suffix(self, checkpoint, tmp_path):
        with pytest.raises(ValueError, match=r"must be called something\.onnx"):
            run_export(str(checkpoint), tmp_path / "guard.bin")

    def test_a_folder_of_somebody(self, checkpoint, tmp_path):
        (tmp_path / "guard").mkdir()
        with pytest.raises(ValueError, match="Choose another name"):
            run_export(str(checkpoint), tmp_path / "guard.onnx")

    def test_a_model_without_a_policy(self, tiny_safe_llava, tiny_processor, tmp_path):
        model = copy.deepcopy(tiny_safe_llava)
        model.set_safety_policy(None)
        model.save_pretrained(tmp_path / "model")
        tiny_processor.save_pretrained(tmp_path / "model")
        with pytest.raises(ValueError, match="has no safety policy"):
            run_export(str(tmp_path / "model"), tmp_path / "guard.onnx")

    def test_a_model_whose_verdicts_cannot_be_trusted(self, tiny_safe_llava, tiny_processor, tmp_path):
        model = copy.deepcopy(tiny_safe_llava)
        model.config.safety_training = None
        model.save_pretrained(tmp_path / "model")
        tiny_processor.save_pretrained(tmp_path / "model")
        with pytest.raises(ValueError, match="can be trusted"):
            run_export(str(tmp_path / "model"), tmp_path / "guard.onnx")
        assert not (tmp_path / "guard.onnx").exists()

    def test_a_guard_that_decides_otherwise(self, checkpoint, tmp_path, monkeypatch):
        def write(guard, size, path):
            path.write_bytes(b"")

        parity = {"rows": 100, "alike": 99, "largest_difference": 0.1, "flips": [{}]}
        monkeypatch.setattr("safe_llava.export.run_export._write_onnx", write)
        monkeypatch.setattr("safe_llava.export.run_export.compare", lambda *_: parity)
        with pytest.raises(ValueError, match="decides 1 otherwise than the model"):
            run_export(str(checkpoint), tmp_path / "guard.onnx")
        assert not (tmp_path / "guard.onnx").exists()

    def test_an_image_processor_that_does_more(self, checkpoint, tmp_path, monkeypatch):
        monkeypatch.setattr(
            "safe_llava.export.parity.to_pixel_values", lambda image, settings: np.zeros((3, 30, 30), np.float32)
        )
        with pytest.raises(ValueError, match="does more to an image"):
            run_export(str(checkpoint), tmp_path / "guard.onnx")
