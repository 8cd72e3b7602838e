"""An exported guard decides as its model, and works where there is neither torch nor this package."""

import copy
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from export.conftest import FAMILY, build_guarded
from transformers import pipeline

from safe_llava.checkpoints import load_guard
from safe_llava.export.run_export import describe, describe_images, run_export
from safe_llava.export.traceable_guard import TraceableGuard
from safe_llava.guards.torch_guard import TorchGuard
from safe_llava.models.onnx_guard import OnnxGuard
from safe_llava.models.safety_guarantee import digest_decisions, name_weights


@pytest.mark.parametrize("kind", FAMILY)
def test_it_gives_what_the_pipeline_gives(kind, export, samples):
    made = export(kind)
    pipe = pipeline("safety-classification", model=str(made.checkpoint), device="cpu")
    own, found = [pipe(sample) for sample in samples], OnnxGuard(made.folder)(samples)
    for ours, theirs in zip(own, found, strict=True):
        for name in ("level_probs", "type_probs"):
            assert list(theirs.pop(name).values()) == pytest.approx(list(ours.pop(name).values()), abs=1e-4)
        assert theirs == ours


def test_it_knows_familiar_images_as_its_model_does(exported, make_image, strange_image):
    found = OnnxGuard(exported)([make_image(7), strange_image, {"images": [make_image(7), strange_image]}])
    assert [result["distrust"] for result in found] == [None, "unfamiliar", "unfamiliar"]
    assert [result["decision"]["level"] for result in found[1:]] == ["high", "high"]


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


@pytest.mark.parametrize("kind", FAMILY)
def test_torch_exports_the_same_forward_with_any_number_of_rows_images_and_tokens(kind, export):
    made = export(kind)
    guard, _ = load_guard(made.checkpoint, "cpu")
    size = guard.config.vision_config.image_size
    drawn = torch.Generator().manual_seed(0)
    inputs = (
        torch.randint(0, 50, (2, 5), generator=drawn),
        torch.ones(2, 5, dtype=torch.bool),
        torch.randn(3, 3, size, size, generator=drawn),
        torch.tensor([0, 1, 2]),
        torch.tensor([0, 1, 1]),
    )
    with torch.no_grad():
        for own, found in zip(TraceableGuard(guard)(*inputs), torch.export.load(made.program).module()(*inputs)):
            torch.testing.assert_close(found, own)


@pytest.fixture(scope="module")
def rounded(checkpoint, exported, tmp_path_factory) -> Path:
    """What `--int8` leaves, of the graph that was written already."""
    path = tmp_path_factory.mktemp("int8") / "my-guard.onnx"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "safe_llava.export.run_export._write_onnx",
            lambda guard, path: shutil.copyfile(exported.with_suffix(".onnx"), path),
        )
        # A head that nobody trained decides by a hair.
        patch.setattr("safe_llava.export.run_export.LEAST_INT8", 0.5)
        run_export(str(checkpoint), path, int8=True, scenes=24)
    return path.with_suffix("")


def test_8_bit_weights_are_smaller_and_change_little(exported, rounded, samples):
    assert rounded.with_suffix(".onnx").stat().st_size < exported.with_suffix(".onnx").stat().st_size
    for ours, theirs in zip(OnnxGuard(exported)(samples[:3]), OnnxGuard(rounded)(samples[:3])):
        assert ours != theirs
        assert list(theirs["type_probs"].values()) == pytest.approx(list(ours["type_probs"].values()), abs=0.2)


def test_logs_and_promises_know_8_bit_weights_from_those_of_the_model(exported, rounded, checkpoint):
    names = name_weights(load_guard(checkpoint, "cpu")[0].config)
    assert OnnxGuard(exported).weights in names
    assert OnnxGuard(rounded).weights not in names


@pytest.mark.parametrize("int8", [False, True])
def test_a_guarantee_goes_along_but_not_to_other_weights(int8, checkpoint, exported):
    guard = TorchGuard(*load_guard(checkpoint, "cpu"))
    stored: dict = guard.model.config.safety_policy
    guarantee = {"promises": {}, "confidence": 0.9, "rows": {}, "decisions": digest_decisions(stored)}
    guard.model.config.safety_policy = stored | {"guarantee": {**guarantee, "weights": guard.weights}}
    files = {"guard.onnx": exported.with_suffix(".onnx").read_bytes()}
    policy = describe(guard, describe_images(guard), files, int8)["policy"]
    assert ("guarantee" in policy) != int8


class TestRefusals:
    """Nothing is left that could be taken for a guard."""

    def test_another_suffix(self, checkpoint, tmp_path):
        with pytest.raises(ValueError, match=r"must be called something\.onnx"):
            run_export(str(checkpoint), tmp_path / "guard.bin")

    def test_a_folder_of_somebody(self, checkpoint, tmp_path):
        (tmp_path / "guard").mkdir()
        (tmp_path / "guard" / "thesis.txt").write_text("mine")
        with pytest.raises(ValueError, match="Choose another name"):
            run_export(str(checkpoint), tmp_path / "guard.onnx")

    def test_a_model_without_a_policy(self, tiny_safe_llava, tiny_processor, tmp_path):
        model = copy.deepcopy(tiny_safe_llava)
        model.set_safety_policy(None)
        model.save_pretrained(tmp_path / "model")
        tiny_processor.save_pretrained(tmp_path / "model")
        with pytest.raises(ValueError, match="has no safety policy"):
            run_export(str(tmp_path / "model"), tmp_path / "guard.onnx")

    def test_a_head_that_reads_all_tiles(self, tmp_path):
        model, processor = build_guarded("llava_next", safety_tiles="all")
        model.save_pretrained(tmp_path / "model")
        processor.save_pretrained(tmp_path / "model")
        with pytest.raises(ValueError, match="reads all tiles"):
            run_export(str(tmp_path / "model"), tmp_path / "guard.onnx")

    def test_a_model_whose_verdicts_cannot_be_trusted(self, tiny_safe_llava, tiny_processor, tmp_path):
        model = copy.deepcopy(tiny_safe_llava)
        model.config.safety_training = None
        model.save_pretrained(tmp_path / "model")
        tiny_processor.save_pretrained(tmp_path / "model")
        with pytest.raises(ValueError, match="can be trusted"):
            run_export(str(tmp_path / "model"), tmp_path / "guard.onnx")
        assert not (tmp_path / "guard.onnx").exists()

    def test_a_guard_that_decides_otherwise(self, checkpoint, exported, tmp_path, monkeypatch):
        def write(guard, path):
            shutil.copyfile(exported.with_suffix(".onnx"), path)

        parity = {"rows": 100, "alike": 99, "largest_difference": 0.1, "flips": [{}]}
        monkeypatch.setattr("safe_llava.export.run_export._write_onnx", write)
        monkeypatch.setattr("safe_llava.export.run_export.compare", lambda *_: parity)
        with pytest.raises(ValueError, match="decides 1 otherwise than the model"):
            run_export(str(checkpoint), tmp_path / "guard.onnx")
        assert not (tmp_path / "guard.onnx").exists()

    def test_an_image_processor_that_does_more(self, checkpoint, tmp_path, monkeypatch):
        monkeypatch.setattr("safe_llava.export.parity.to_pixel_values", lambda *_: np.zeros((3, 30, 30), np.float32))
        with pytest.raises(ValueError, match="does more to an image"):
            run_export(str(checkpoint), tmp_path / "guard.onnx")
