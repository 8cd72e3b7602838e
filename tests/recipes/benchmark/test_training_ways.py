"""Every way of `recipes.benchmark.training` trains: what it asks of a trainer is what that trainer takes."""

import contextlib

import pytest

from recipes.benchmark import training_ways


@pytest.mark.parametrize(("stage", "way"), [(stage, way) for stage in (1, 2) for way in training_ways.WAYS[stage]])
def test_a_way_takes_its_timed_steps(stage, way):
    steps = []

    @contextlib.contextmanager
    def timed():
        yield
        steps.append(way)

    training_ways.train(way, "miniature", stage, batch_size=2, num_steps=1, num_spared=1, is_timed=timed)
    assert steps == [way]
