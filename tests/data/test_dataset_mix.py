"""Several sets as one: every row is accounted for, shares hold, and copies are found whatever they are called."""

import pytest
from set_rows import encode, make_image, make_set

from safe_llava.data import BadRow, DatasetReport
from safe_llava.data.dataset_mix import LoadedSet, mix_datasets


def rows(first, number, **more):
    return [{"images": [seed], "question": f"Number {seed} ?", **more} for seed in range(first, first + number)]


def sets(*lengths, shares=(None, None), **more):
    starts = [sum(lengths[:place]) for place in range(len(lengths))]
    return [
        LoadedSet(f"set{place}", make_set(*rows(start, length)), share=share, **more)
        for place, (start, length, share) in enumerate(zip(starts, lengths, shares))
    ]


def numbers(dataset):
    return [messages[0]["content"][-1]["text"] for messages in dataset["messages"]]


@pytest.mark.parametrize(
    ("lengths", "shares", "used"),
    [
        ((20, 20), (None, None), [20, 20]),
        ((20, 20), (0.5, 0.5), [20, 20]),
        ((20, 20), (0.75, 0.25), [20, 7]),
        ((5, 40), (0.5, 0.5), [5, 5]),
        ((40, 5), (0.2, 0.8), [1, 5]),
        ((30, 1), (0.9, 0.1), [9, 1]),
    ],
)
def test_shares_give_the_largest_mix_in_which_no_row_is_repeated(lengths, shares, used):
    dataset, report = mix_datasets(sets(*lengths, shares=shares))
    assert [of_set.used for of_set in report.sets] == used
    assert [dataset["source"].count(f"set{place}") for place in range(2)] == used
    assert len(set(numbers(dataset))) == sum(used)


def test_the_seed_decides_which_rows_are_thinned_out():
    def taken(seed):
        return numbers(mix_datasets(sets(5, 40, shares=(0.5, 0.5)), seed=seed)[0])

    assert taken(0) == taken(0) != taken(1)


def test_a_share_that_leaves_no_row_of_a_set_is_refused():
    with pytest.raises(ValueError, match="no row of set1 would be left"):
        mix_datasets(sets(3, 40, shares=(0.99, 0.01)))


def test_only_the_first_rows_are_taken_where_that_is_asked_for():
    dataset, report = mix_datasets(sets(9, 4, max_samples=5))
    assert numbers(dataset)[:6] == [f"Number {seed} ?" for seed in (0, 1, 2, 3, 4, 9)]
    assert [(of_set.beyond, of_set.used) for of_set in report.sets] == [(4, 5), (0, 4)]


COPY = {"images": [1], "question": "What is this ?"}
SAME = {
    "the same": {},
    "other case and spaces": {"question": " what  IS this ?\n"},
    "with a placeholder": {"question": "<image>\nWhat is this ?"},
    "another answer": {"answer": "Nothing ."},
    "encoded anew without loss": {"images": [encode(make_image(1), "WEBP", lossless=True)]},
}
DIFFERENT = {
    "another question": {"question": "What is that ?"},
    "another image": {"images": [2]},
    "no image": {"images": []},
    "one image more": {"images": [1, 2]},
}


def mix_pair(changes, across=True, **options):
    first, second = make_set(COPY, *rows(50, 2)), make_set({**COPY, **changes}, *rows(60, 2))
    if across:
        return mix_datasets([LoadedSet("a", first), LoadedSet("b", second)], duplicates="drop", **options)
    return mix_datasets([LoadedSet("a", make_set(COPY, {**COPY, **changes}, *rows(50, 2)))], duplicates="drop")


@pytest.mark.parametrize("across", [True, False], ids=["across sets", "within a set"])
@pytest.mark.parametrize("changes", SAME.values(), ids=SAME)
def test_a_copy_is_counted_by_its_sets_and_the_first_is_kept(changes, across):
    dataset, report = mix_pair(changes, across)
    assert report.duplicates == {("a", "b" if across else "a"): 1}
    assert report.sets[-1].duplicates == 1
    assert [row["messages"] for row in dataset.select(range(1))] == [make_set(COPY)[0]["messages"]]
    assert len(dataset) == (5 if across else 3)


@pytest.mark.parametrize("changes", DIFFERENT.values(), ids=DIFFERENT)
def test_what_differs_in_question_or_image_is_no_copy(changes):
    dataset, report = mix_pair(changes)
    assert report.duplicates == {}
    assert len(dataset) == 6


@pytest.mark.parametrize("form", ["strings", "pairs", "pairs of strings"])
def test_a_copy_is_found_in_a_set_of_another_form(form):
    pair = [LoadedSet("a", make_set(COPY)), LoadedSet("b", make_set(COPY, form=form))]
    assert mix_datasets(pair, duplicates="drop")[1].duplicates == {("a", "b"): 1}


def test_copies_can_be_kept_and_are_counted_nevertheless():
    pair = [LoadedSet(name, make_set(COPY)) for name in "ab"]
    dataset, report = mix_datasets(pair, duplicates="keep")
    assert (len(dataset), report.duplicates, report.sets[1].duplicates) == (2, {("a", "b"): 1}, 0)
    assert "kept" in str(report)


def test_nobody_says_that_there_are_no_copies_where_nobody_looked():
    assert mix_datasets(sets(2, 2))[1].duplicates is None


UNSURE = {"level": -100, "type": -100}
CONTRADICTING = [
    ({"level": 0, "type": 6}, {"level": 3, "type": 4}),
    ({"level": 1, "type": 4}, {"level": 2, "type": 4}),
    ({"level": 2, "type": 1}, {"level": 2, "type": 4}),
    ({"level": 3, "type": 4}, {**UNSURE, "levels": [1, 2], "types": [0, 1, 2, 3, 4, 5]}),
    ({"level": 0, "type": 6}, {**UNSURE, "levels": [1, 2, 3], "types": [0, 1, 2, 3, 4, 5]}),
]
AGREEING = [
    ({"level": 3, "type": 4}, {"level": 3, "type": 4}),
    ({"level": 3, "type": 4}, UNSURE),
    ({"level": 3, "type": 4}, {**UNSURE, "levels": [1, 2, 3], "types": [0, 1, 2, 3, 4, 5]}),
    ({**UNSURE, "levels": [1, 2]}, {**UNSURE, "levels": [2, 3]}),
]


@pytest.mark.parametrize(
    ("labels", "contradict"), [*((pair, True) for pair in CONTRADICTING), *((pair, False) for pair in AGREEING)]
)
@pytest.mark.parametrize("turned", [False, True])
def test_copies_contradict_where_no_class_is_possible_in_both(labels, contradict, turned):
    pair = [
        LoadedSet(name, make_set(*rows(9, 1), {**COPY, **of_set}))
        for name, of_set in zip("ab", labels[::-1] if turned else labels)
    ]
    contradictions = mix_datasets(pair, duplicates="drop")[1].contradictions
    # The first rows of both are copies too, and agree.
    assert [(found.sets, found.rows) for found in contradictions] == [(("a", "b"), (2, 2))] * contradict


def test_a_contradiction_is_said_with_rows_labels_and_question():
    pair = [LoadedSet("a", make_set({**COPY, "level": 0})), LoadedSet("b", make_set({**COPY, "level": 3, "type": 4}))]
    report = mix_datasets(pair, duplicates="drop")[1]
    assert "row 1 of b (high, privacy) and row 1 of a (none, safe): 'what is this ?" in str(report)


def test_rows_of_contradictions_are_numbered_as_bad_rows_are():
    report = DatasetReport("b", 5, (BadRow(1, ("x",)), BadRow(3, ("x",))))
    second = make_set(*rows(60, 2), {**COPY, "level": 3, "type": 4})
    pair = [LoadedSet("a", make_set(COPY)), LoadedSet("b", second, report)]
    assert mix_datasets(pair, duplicates="drop")[1].contradictions[0].rows == (1, 5)


@pytest.mark.parametrize("duplicates", ["drop", "keep", None])
@pytest.mark.parametrize("shares", [(None, None), (0.5, 0.5)])
def test_every_row_that_was_read_is_accounted_for(duplicates, shares):
    mixed = [
        LoadedSet(name, make_set(COPY, COPY, *rows(start, 6)), share=share, max_samples=7)
        for name, start, share in zip("ab", (50, 60), shares)
    ]
    benchmarks = {"test": [([encode(make_image(52))], "What ?")]}
    dataset, report = mix_datasets(mixed, duplicates=duplicates, benchmarks=benchmarks)
    for of_set in report.sets:
        parts = (
            of_set.bad,
            of_set.by_rule,
            of_set.beyond,
            of_set.leaks,
            of_set.duplicates,
            of_set.thinned,
            of_set.used,
        )
        assert of_set.read == sum(parts) == 8
    assert sum(of_set.used for of_set in report.sets) == len(dataset)
