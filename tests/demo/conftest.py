"""A model that takes every image for high risk, so that the policy decides."""

import copy
from collections.abc import Iterator
from pathlib import Path

import pytest

from safe_llava.demo.demo_model import DemoModel
from safe_llava.serving.serving_settings import ServingLimits


@pytest.fixture(scope="session")
def demo_checkpoint(alarmed_safe_llava, tiny_processor, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "alarmed"
    alarmed_safe_llava.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def demo(alarmed_safe_llava, tiny_processor) -> Iterator[DemoModel]:
    model = copy.copy(alarmed_safe_llava)  # The weights are shared; what a policy changes is not.
    model.config = copy.deepcopy(model.config)
    limits = ServingLimits(new_tokens=100, images=3, image_bytes=10_000, image_pixels=2_000, turns=3)
    demo = DemoModel(model, tiny_processor, "tiny", limits)
    assert model.explain_distrust() is None  # What is looked into once is no assessment.
    yield demo
    demo.worker.close()
