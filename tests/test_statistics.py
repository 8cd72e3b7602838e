"""Shares, macro-F1 and paired differences, each with its interval."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from safe_llava.statistics import bootstrap_interval, macro_f1, mean_interval, sum_of_means_interval, wilson_interval


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


def test_interval_of_a_share_is_wilsons():
    # Newcombe 1998, table I: 81 of 263 gives 0.2553 to 0.3662.
    assert wilson_interval([True] * 81 + [False] * 182) == pytest.approx([0.2553, 0.3662], abs=1e-4)


def test_bootstrap_interval_shrinks_with_more_rows():
    def width(half: int) -> float:
        low, high = bootstrap_interval(np.array([0, 1] * half), np.array([0, 0] * half))
        return high - low

    assert width(200) < width(10)


def test_macro_f1_of_many_resamples_is_that_of_each():
    rng = np.random.default_rng(0)
    truth, predicted = rng.integers(0, 5, (2, 8, 30))
    truth[:4][truth[:4] == 3] = 2
    expected = [
        f1_score(t, p, average="macro", labels=np.unique(t), zero_division=0.0) for t, p in zip(truth, predicted)
    ]
    assert macro_f1(truth, predicted) == pytest.approx(expected)
