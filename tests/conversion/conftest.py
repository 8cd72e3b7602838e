"""A stock LLaVA to convert, in one file and in shards."""

from pathlib import Path

import pytest
from stock_checkpoints import save_llava
from transformers import LlavaForConditionalGeneration, LlavaProcessor


@pytest.fixture
def source(tiny_llava: LlavaForConditionalGeneration, tiny_llava_processor: LlavaProcessor, tmp_path: Path) -> Path:
    return save_llava(tiny_llava, tiny_llava_processor, tmp_path / "source", "hub")


@pytest.fixture
def sharded_source(tiny_llava: LlavaForConditionalGeneration, tiny_llava_processor, tmp_path: Path) -> Path:
    tiny_llava.save_pretrained(tmp_path / "source", max_shard_size="60KB")
    tiny_llava_processor.save_pretrained(tmp_path / "source")
    return tmp_path / "source"
