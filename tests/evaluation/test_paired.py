"""Intervals of paired differences."""

import numpy as np
import pytest

from safe_llava.statistics import mean_interval, sum_of_means_interval


def test_an_interval_is_that_of_the_normal_approximation_where_there_are_many_rows():
    values = np.random.default_rng(0).normal(0.3, 1.0, 4000)
    half = 1.96 * values.std() / len(values) ** 0.5
    assert mean_interval(values.tolist()) == pytest.approx([values.mean() - half, values.mean() + half], abs=0.003)


def test_pairing_narrows_what_both_models_find_hard():
    hard = np.random.default_rng(0).normal(0, 10, 200)
    ours, theirs = hard + 1, hard + np.random.default_rng(1).normal(0, 0.1, 200)
    low, high = mean_interval((ours - theirs).tolist())
    assert 0.9 < low < 1 < high < 1.1


def test_strata_are_resampled_by_themselves():
    assert sum_of_means_interval([[1.0, 1.0, 1.0], [5.0, 5.0]]) == [6.0, 6.0]
    low, high = sum_of_means_interval([[0.0] * 50, [0.0, 1.0] * 50])
    assert 0.35 < low < 0.5 < high < 0.65


@pytest.mark.parametrize("strata", [[], [[]], [[1.0]], [[1.0, 2.0], [3.0]]])
def test_fewer_than_two_units_give_no_interval(strata):
    assert sum_of_means_interval(strata) is None


def test_an_interval_is_the_same_every_time():
    assert mean_interval([0.0, 1.0, 1.0, 0.0, 1.0]) == mean_interval([0.0, 1.0, 1.0, 0.0, 1.0])
