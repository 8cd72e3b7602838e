"""Images are grouped by their hashes, and no row with an equal hash is left out, whatever the scale."""

import numpy as np
import pyarrow as pa
import pytest

from safe_llava.data.near_duplicates import find_near, group_near_duplicates


ZEROS, ONES = "0" * 16, "f" * 16


def flip(digits: str, *bits: int) -> str:
    return f"{int(digits, 16) ^ sum(1 << bit for bit in bits):016x}"


def group(*hashes: str | None, **options: int) -> list[list[int]]:
    duplicates = group_near_duplicates(pa.chunked_array([list(hashes)], type=pa.string()), **options)
    return [duplicates[index].tolist() for index in range(len(duplicates))]


def test_equal_hashes_form_a_group():
    assert group(ZEROS, ONES, ZEROS) == [[0, 2]]


def test_hashes_within_the_distance_form_a_group():
    assert group(ZEROS, ONES, flip(ZEROS, 0, 5, 9, 20, 40, 63)) == [[0, 2]]


def test_hashes_beyond_the_distance_stay_apart():
    assert group(ZEROS, flip(ZEROS, 0, 5, 9, 20, 40, 62, 63)) == []


def test_a_chain_of_neighbours_is_one_group():
    chain = [flip(ZEROS, *range(end)) for end in (0, 5, 10, 15)]
    assert group(*chain) == [[0, 1, 2, 3]]


def test_the_largest_group_comes_first():
    assert group(ONES, ONES, ZEROS, ZEROS, ZEROS) == [[2, 3, 4], [0, 1]]


def test_equally_large_groups_come_in_the_order_of_their_hashes():
    assert group(ONES, ZEROS, ONES, ZEROS) == [[1, 3], [0, 2]]


def test_rows_without_an_image_are_in_no_group():
    assert group(None, ZEROS, None, ZEROS) == [[1, 3]]


def test_letters_in_upper_case_are_the_same_digits():
    assert group(ONES, ONES.upper()) == [[0, 1]]


@pytest.mark.parametrize("hashes", [[], [None, None]])
def test_no_hash_gives_no_group(hashes):
    assert group(*hashes) == []


def test_hashes_in_several_chunks_keep_their_positions():
    chunks = pa.chunked_array([[None, ZEROS], [], [ONES, None, ZEROS]])
    assert group_near_duplicates(chunks)[0].tolist() == [1, 4]


def test_a_slice_of_a_longer_column_is_grouped_alone():
    column = pa.chunked_array([[ONES, ZEROS, ONES, ZEROS, ONES]]).slice(1, 3)
    assert group_near_duplicates(column)[0].tolist() == [0, 2]


def test_beyond_the_limit_equal_hashes_are_still_grouped():
    hashes = pa.chunked_array([[ZEROS, flip(ZEROS, 0), ONES, ZEROS]])
    duplicates = group_near_duplicates(hashes, max_distinct=2)
    assert (duplicates.max_distance, duplicates.num_distinct, duplicates.rows.tolist()) == (0, 3, [0, 3])


def test_groups_are_what_comparing_every_pair_gives():
    generator = np.random.default_rng(0)
    seeds = generator.integers(0, 2**63, 40, dtype=np.uint64)
    hashes = [
        flip(f"{seed:016x}", *generator.choice(64, generator.integers(0, 6), replace=False).tolist())
        for seed in generator.choice(seeds, 250)
    ]
    near = np.array([[(int(a, 16) ^ int(b, 16)).bit_count() <= 6 for b in hashes] for a in hashes])
    reachable = near
    while (further := reachable @ near).sum() > reachable.sum():
        reachable = further
    expected = {tuple(np.flatnonzero(row).tolist()) for row in reachable if row.sum() > 1}
    assert {tuple(sorted(rows)) for rows in group(*hashes)} == expected


@pytest.mark.parametrize("wrong", ["abc", "g" * 16, "0" * 17, "0" * 15 + " "])
def test_what_is_no_hash_is_refused(wrong):
    with pytest.raises(ValueError):
        group(wrong)


@pytest.mark.parametrize(
    ("bits", "found"), [((), 1), ((3,), 1), ((0, 5, 9, 20, 40, 63), 1), ((0, 5, 9, 20, 40, 62, 63), -1)]
)
def test_the_nearest_of_other_hashes_is_found_within_the_distance(bits, found):
    assert find_near([flip(ZEROS, *bits)], [ONES, ZEROS, flip(ZEROS, *range(20))]).tolist() == [found]


def test_many_hashes_are_compared_with_many():
    hashes = [f"{(number * 0x9E3779B97F4A7C15) % 2**64:016x}" for number in range(1, 1500)]
    assert find_near(hashes, hashes[::-1], max_distance=0).tolist() == [*range(len(hashes))][::-1]


@pytest.mark.parametrize(("hashes", "others"), [([], [ONES]), ([ONES], []), ([], [])])
def test_nothing_is_near_where_there_is_nothing(hashes, others):
    assert find_near(hashes, others).tolist() == [-1] * len(hashes)
