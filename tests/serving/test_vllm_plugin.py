"""What vLLM loads in each of its processes."""

import logging
import sys
from types import SimpleNamespace

import pytest
from transformers import AutoModel

from safe_llava import SafeLlavaModel
from safe_llava.family import FAMILY
from safe_llava.serving.vllm_plugin import register


@pytest.fixture
def mapping(monkeypatch):
    """The registered classes, which are back when the test is over."""
    monkeypatch.setattr(AutoModel._model_mapping, "_extra_content", dict(AutoModel._model_mapping._extra_content))


@pytest.fixture
def registered(monkeypatch) -> dict[str, str]:
    """What is registered with vLLM, which need not be installed."""
    registered: dict[str, str] = {}
    registry = SimpleNamespace(register_model=registered.__setitem__)
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(ModelRegistry=registry))
    return registered


def test_it_builds_the_model_without_a_head_and_warns_that_nothing_assesses(
    mapping, registered, tiny_safe_llava, caplog
):
    with caplog.at_level(logging.WARNING, logger="safe_llava.serving"):
        register()
    assert type(AutoModel.from_config(tiny_safe_llava.config)) is SafeLlavaModel
    assert "--upstream" in caplog.text


def test_a_checkpoint_s_own_code_need_not_be_trusted(mapping, registered, tiny_safe_llava):
    register()
    assert set(registered) == {member.generator.__name__ for member in FAMILY.values()}
    assert type(tiny_safe_llava).__name__ in registered
    assert all(backend.startswith("vllm.model_executor.models.transformers:") for backend in registered.values())


def test_vllm_finds_it(pytestconfig):
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((pytestconfig.rootpath / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["vllm.general_plugins"] == {"safe_llava": f"{register.__module__}:register"}
