"""Choosing rows by ratio and class."""

from collections import Counter

import pytest
from datasets import Dataset

from safe_llava.data import UNLABELLED, mix_safety_dataset


@pytest.fixture
def dataset():
    """20 clean rows, 10 about privacy, 2 about politics, 3 unlabelled."""
    labels = [(0, 6)] * 20 + [(3, 4)] * 10 + [(1, 0)] * 2 + [(UNLABELLED, UNLABELLED)] * 3
    levels, types = zip(*labels, strict=True)
    return Dataset.from_dict({"row": range(35), "safety_level": levels, "safety_type": types})


def levels(dataset):
    return Counter(dataset["safety_level"][:])


def test_without_options_the_data_stay_as_they_are(dataset):
    assert mix_safety_dataset(dataset)["row"][:] == list(range(35))


@pytest.mark.parametrize(("ratio", "clean", "risky"), [(0.5, 6, 12), (1.0, 12, 12), (4.0, 20, 5)])
def test_the_side_in_excess_is_thinned_to_the_ratio(ratio, clean, risky, dataset):
    counts = levels(mix_safety_dataset(dataset, clean_to_risky=ratio))
    assert (counts[0], counts[1] + counts[3]) == (clean, risky)


def test_balancing_repeats_the_smaller_risk_classes(dataset):
    counts = Counter(mix_safety_dataset(dataset, balance_by="safety_type")["safety_type"][:])
    assert counts == {6: 20, 4: 10, 0: 10, UNLABELLED: 3}


def test_balancing_repeats_each_row_equally_often(dataset):
    rows = Counter(mix_safety_dataset(dataset, balance_by="safety_level")["row"][:])
    assert rows[30] == rows[31] == 5


def test_no_row_is_repeated_or_lost_without_need(dataset):
    mixed = mix_safety_dataset(dataset, clean_to_risky=20 / 12)
    assert sorted(mixed["row"][:]) == list(range(35))


def test_unlabelled_rows_always_stay(dataset):
    assert levels(mix_safety_dataset(dataset, clean_to_risky=0.1))[UNLABELLED] == 3


def test_the_same_seed_gives_the_same_rows_in_the_same_order(dataset):
    first, second = (mix_safety_dataset(dataset, 0.5, "safety_type", seed=3)["row"][:] for _ in range(2))
    assert first == second
    assert mix_safety_dataset(dataset, 0.5, "safety_type", seed=4)["row"][:] != first


def test_a_ratio_without_clean_rows_is_refused(dataset):
    with pytest.raises(ValueError, match="0 are clean and 12 risky"):
        mix_safety_dataset(dataset.filter(lambda row: row["safety_level"] > 0), clean_to_risky=1.0)


@pytest.mark.parametrize("options", [{"clean_to_risky": 0}, {"balance_by": "messages"}])
def test_an_option_out_of_range_is_named(options, dataset):
    with pytest.raises(ValueError, match=next(iter(options))):
        mix_safety_dataset(dataset, **options)


@pytest.mark.parametrize("column", ["safety_level", "safety_type"])
def test_balancing_where_no_row_is_risky_is_refused(column, dataset):
    clean = dataset.filter(lambda row: row["safety_level"] <= 0)
    with pytest.raises(ValueError, match="`balance_by` has no effect"):
        mix_safety_dataset(clean, balance_by=column)
