import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch


BENCHMARK = Path(__file__).parents[2] / "recipes" / "benchmark"


@pytest.fixture(scope="session")
def suite():
    """The modules beside `recipes/benchmark/run.py`, which is a script: its neighbours are found beside it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARK))
        names = ("cost_tables", "counts", "prompts", "ratios", "shapes", "timing", "ways")
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})


@pytest.fixture(scope="session")
def base(suite):
    return suite.shapes.base_config("miniature")


@pytest.fixture(scope="session")
def models(suite, base):
    """Every model of the suite at the miniature's shape."""
    return suite.ways.build_models(base, list(suite.ways.WAYS), "cpu", torch.float32)


@pytest.fixture(scope="session")
def ask(suite, base, models):
    """`ask(way, new_tokens, batch_size=1)` answers the suite's request."""

    def ask(way: str, new_tokens: int, batch_size: int = 1) -> torch.Tensor:
        return suite.ways.make_way(way, base, models, batch_size)(max_new_tokens=new_tokens)

    return ask
