"""A model that takes every image for high risk, so that the policy decides."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def demo_checkpoint(alarmed_safe_llava, tiny_processor, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "alarmed"
    alarmed_safe_llava.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    return folder
