"""A folder that is not what was exported is refused, by what is wrong with it; the policy is the user's."""

import json
import os
import shutil
from pathlib import Path

import pytest
from jinja2 import TemplateError

from safe_llava.checkpoints import load_safe_llava
from safe_llava.guards.open_guard import open_guard
from safe_llava.models.onnx_folder import CHANGEABLE, FILES, is_exported
from safe_llava.models.onnx_guard import OnnxGuard
from safe_llava.models.prompt_template import PromptTemplate
from safe_llava.models.safety_guarantee import digest_decisions
from safe_llava.serving.run_server import run_server
from safe_llava.serving.serving_settings import ServingSettings, Upstream


@pytest.fixture
def folder(exported, tmp_path) -> Path:
    """A copy to change, of files that are changed by writing others in their place."""
    os.link(exported.with_suffix(".onnx"), tmp_path / "my-guard.onnx")
    return Path(shutil.copytree(exported, tmp_path / "my-guard", copy_function=os.link))


def rewrite(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def change(folder: Path, **values: object) -> None:
    settings = json.loads((folder / "guard.json").read_text())
    rewrite(folder / "guard.json", json.dumps({**settings, **values}).encode())


@pytest.mark.parametrize("name", ["../my-guard.onnx", "guard.json", *FILES])
def test_a_file_that_is_missing_is_named(name, folder):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"{Path(name).name} is missing"):
        open_guard(str(folder))


@pytest.mark.parametrize("name", ["../my-guard.onnx", *FILES])
def test_a_file_that_was_changed_is_named(name, folder):
    rewrite(folder / name, (folder / name).read_bytes() + b"\n")
    with pytest.raises(ValueError, match=f"{Path(name).name} is not the file that was exported"):
        open_guard(str(folder))


def test_every_setting_but_the_policy_is_as_it_was_exported(folder, exported):
    settings = json.loads((exported / "guard.json").read_text())
    for name in settings.keys() - set(CHANGEABLE):
        change(folder, **{**settings, name: "another"})
        with pytest.raises(ValueError, match="it says something else than when it was exported"):
            open_guard(str(folder))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff"])
def test_settings_that_are_none_are_named(content, folder):
    rewrite(folder / "guard.json", content)
    with pytest.raises(ValueError, match=r"guard\.json cannot be taken"):
        open_guard(str(folder))


def test_a_policy_that_is_none_is_refused(folder):
    change(folder, policy={"types": {"privacy": {"threshold": 2}}})
    with pytest.raises(ValueError, match="threshold"):
        open_guard(str(folder))


def guaranteed(policy: dict, weights: str) -> dict:
    promised = {"promises": {}, "confidence": 0.9, "rows": {}, "weights": weights}
    return policy | {"guarantee": {**promised, "decisions": digest_decisions(policy)}}


def test_a_promise_for_other_thresholds_is_refused(folder):
    guard = OnnxGuard(folder)
    policy = guaranteed(guard.policy.to_dict(), guard.weights)
    change(folder, policy=policy)
    assert OnnxGuard(folder).policy.guarantee is not None
    assert OnnxGuard(folder, {"types": {"privacy": {"threshold": 0.9}}}).policy.guarantee is None
    policy["types"]["privacy"]["threshold"] = 0.9
    change(folder, policy=policy)
    with pytest.raises(ValueError, match="other thresholds"):
        OnnxGuard(folder)


def test_a_promise_for_other_weights_is_refused(folder):
    change(folder, policy=guaranteed(OnnxGuard(folder).policy.to_dict(), "another's"))
    with pytest.raises(ValueError, match="for another model"):
        OnnxGuard(folder)


def test_a_machine_that_computes_otherwise_is_not_trusted(folder, make_image, monkeypatch):
    monkeypatch.setattr("safe_llava.models.onnx_guard.measure_deviation", lambda *_: 0.2)
    guard = OnnxGuard(folder)
    found = guard(make_image(0))
    assert "it deviates by 0.2" in guard.explain_distrust()
    assert (found["trusted"], found["level"], found["decision"]["action"]) == (False, "high", "refuse")


def test_the_onnx_file_in_place_of_the_folder_is_told_apart(folder):
    with pytest.raises(ValueError, match="Give the folder beside it"):
        is_exported(folder.with_suffix(".onnx"))


def test_what_needs_the_model_says_so(folder):
    with pytest.raises(ValueError, match="give the checkpoint that it was made of"):
        load_safe_llava(folder)


def test_an_engine_cannot_be_sent_rows_that_a_folder_does_not_make(folder):
    upstream = Upstream("http://127.0.0.1:9/v1", "theirs", images="embeds")
    with pytest.raises(ValueError, match="leave out --upstream-images embeds"):
        run_server(str(folder), ServingSettings("tiny", upstream=upstream))


@pytest.mark.parametrize("options", [{"device": "cuda"}, {"dtype": "bfloat16"}])
def test_what_has_no_effect_on_a_folder_is_refused(options, folder):
    with pytest.raises(ValueError, match=f"--{next(iter(options))} has no effect"):
        open_guard(str(folder), **options)


@pytest.mark.parametrize(
    "sample",
    [{"image": None}, {"images": []}, {"picture": "a.png"}, {}, [{"role": "user", "content": [{"type": "video"}]}]],
)
def test_a_sample_without_what_was_meant_to_be_assessed_is_refused(sample, exported):
    with pytest.raises(ValueError):
        OnnxGuard(exported)(sample)


def test_a_template_that_refuses_a_chat_says_so():
    with pytest.raises(TemplateError, match="no"):
        PromptTemplate("{{ raise_exception('no') }}", {}).render([{"role": "user", "content": "Who?"}])
