"""What vLLM loads in each of its processes."""

import logging

import pytest
from transformers import AutoModel

from safe_llava import SafeLlavaModel
from safe_llava.serving.vllm_plugin import register


@pytest.fixture
def mapping(monkeypatch):
    """The registered classes, which are back when the test is over."""
    monkeypatch.setattr(AutoModel._model_mapping, "_extra_content", dict(AutoModel._model_mapping._extra_content))


def test_it_builds_the_model_without_a_head_and_warns_that_nothing_assesses(mapping, tiny_safe_llava, caplog):
    with caplog.at_level(logging.WARNING, logger="safe_llava.serving"):
        register()
    assert type(AutoModel.from_config(tiny_safe_llava.config)) is SafeLlavaModel
    assert "--upstream" in caplog.text


def test_vllm_finds_it(pytestconfig):
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["vllm.general_plugins"] == {"safe_llava": f"{register.__module__}:register"}
