import pytest
import torch

from recipes.benchmark.answering_ways import WAYS, build_models, make_way
from recipes.benchmark.shapes import base_config


@pytest.fixture(scope="session")
def base():
    return base_config("miniature")


@pytest.fixture(scope="session")
def models(base):
    """Every model of the benchmark at the miniature's shape."""
    return build_models(base, list(WAYS), "cpu", torch.float32)


@pytest.fixture(scope="session")
def ask(base, models):
    """`ask(way, new_tokens, batch_size=1)` answers the benchmark's request."""

    def ask(way: str, new_tokens: int, batch_size: int = 1) -> torch.Tensor:
        return make_way(way, base, models, batch_size)(max_new_tokens=new_tokens)

    return ask
