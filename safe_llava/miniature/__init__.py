"""A synthetic world and a small LLaVA that knows it, so that the whole method runs offline."""

from pathlib import Path


CHECKPOINT: Path = Path(__file__).parent / "checkpoint"
"""A stock LLaVA of 1.3 million parameters with its processor, made by `recipes/miniature/pretrain.py`."""
