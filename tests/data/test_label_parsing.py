"""What is known of a row's level and type: one class, several possible ones, or nothing; and what the two rule out."""

from itertools import combinations

import numpy as np
import pytest
from datasets import Dataset, List, Value, concatenate_datasets

from safe_llava.data import UNLABELLED, load_safety_dataset, mix_safety_dataset
from safe_llava.data.label_parsing import label_disagreement, parse_labels
from safe_llava.models.safety_labels import RISK_LEVELS, RISK_TYPES, SAFETY_LEVELS, SAFETY_TYPES


def subsets(classes):
    return [list(found) for size in range(1, len(classes) + 1) for found in combinations(range(len(classes)), size)]


def as_set(labels, name, names):
    """The possible classes, whichever column they are in."""
    index, several = labels[f"safety_{name}"], labels[f"possible_{name}s"]
    assert index == UNLABELLED or not several
    return set(several) or (set(range(len(names))) if index == UNLABELLED else {index})


def test_every_pair_of_sets_is_narrowed_to_what_is_possible_and_refused_if_nothing_is():
    for levels in subsets(SAFETY_LEVELS):
        for types in subsets(SAFETY_TYPES):
            pairs = [(level, kind) for level in levels for kind in types if (level == 0) == (kind == 6)]
            labels, problems = parse_labels({"safety_level": levels, "safety_type": types})
            assert bool(problems) == bool(label_disagreement(levels, types)) == (not pairs)
            if pairs:
                expected = tuple(set(one) for one in zip(*pairs))
                assert (as_set(labels, "level", SAFETY_LEVELS), as_set(labels, "type", SAFETY_TYPES)) == expected


@pytest.mark.parametrize("unknown", [None, UNLABELLED, [*range(4)]])
def test_what_says_nothing_is_unlabelled(unknown):
    labels, _ = parse_labels({"safety_level": unknown})
    assert labels == {
        "safety_level": UNLABELLED,
        "possible_levels": [],
        "safety_type": UNLABELLED,
        "possible_types": [],
    }


@pytest.mark.parametrize("risky", ["risky", " Risky ", ["risky"], ["low", 2, "3"], np.array([1, 2, 3])])
def test_some_risk_is_any_level_but_none(risky):
    labels, _ = parse_labels({"safety_level": risky, "safety_type": "risky"})
    assert labels["possible_levels"] == [1, 2, 3]
    assert labels["possible_types"] == [0, 1, 2, 3, 4, 5]


def test_a_set_beside_the_class_that_it_rules_out_is_refused():
    _, problems = parse_labels({"safety_level": "high", "possible_levels": [1, 2]})
    assert problems == ["'safety_level' 'high' is not among 'possible_levels' [1, 2]"]


LABELS = [
    ("none", "safe", (0, []), (6, [])),
    ("risky", ["privacy", "fairness"], (-100, [1, 2, 3]), (-100, [3, 4])),
    (["low", 2], None, (-100, [1, 2]), (-100, [0, 1, 2, 3, 4, 5])),
    (None, "privacy", (-100, [1, 2, 3]), (4, [])),
    (None, "safe", (0, []), (6, [])),
    (["none", "high"], "risky", (3, []), (-100, [0, 1, 2, 3, 4, 5])),
    (None, None, (-100, []), (-100, [])),
]


def in_authors_lines(record, write_lines, image_folder, tmp_path):
    lines = [record(safe_level=level, safe_type=kind) for level, kind, _, _ in LABELS]
    return load_safety_dataset(write_lines(*lines), image_folder=image_folder)[0]


def in_lists(record, write_lines, image_folder, tmp_path):
    """A column has one type, so a file of tables holds lists of names."""
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    rows = []
    for labels in LABELS:
        values = [value if isinstance(value, list) or value is None else [value] for value in labels[:2]]
        level, kind = (None if value is None else [str(one) for one in value] for value in values)
        rows.append({"messages": turns, "images": [], "safety_level": level, "safety_type": kind})
    Dataset.from_list(rows).to_parquet(tmp_path / "rows.parquet")
    return load_safety_dataset(tmp_path / "rows.parquet")[0]


def saved_and_loaded_again(*args):
    in_authors_lines(*args).save_to_disk(args[-1] / "saved")
    return load_safety_dataset(args[-1] / "saved")[0]


@pytest.mark.parametrize("load", [in_authors_lines, in_lists, saved_and_loaded_again])
def test_sets_come_out_alike_in_whatever_form_they_are_kept(load, record, write_lines, image_folder, tmp_path):
    dataset = load(record, write_lines, image_folder, tmp_path)
    found = [
        ((row["safety_level"], row["possible_levels"]), (row["safety_type"], row["possible_types"])) for row in dataset
    ]
    assert found == [labels[2:] for labels in LABELS]
    assert dataset.features["safety_level"] == dataset.features["safety_type"] == Value("int64")
    assert dataset.features["possible_levels"] == dataset.features["possible_types"] == List(Value("int64"))


def test_columns_of_sets_exist_only_where_a_row_has_one(record, write_lines, image_folder):
    dataset, _ = load_safety_dataset(
        write_lines(record(), record(safe_level=None, safe_type=None)), image_folder=image_folder
    )
    assert {"possible_levels", "possible_types"}.isdisjoint(dataset.column_names)


def test_rows_with_and_without_sets_can_be_put_together(record, write_lines, image_folder):
    plain, _ = load_safety_dataset(write_lines(record()), image_folder=image_folder)
    some_risk, _ = load_safety_dataset(
        write_lines(record(safe_level="risky", safe_type="privacy")), image_folder=image_folder
    )
    labels = [parse_labels(row)[0] for row in concatenate_datasets([plain, some_risk])]
    assert [row["safety_level"] for row in labels] == [0, -100]
    assert [row["possible_levels"] for row in labels] == [[], [1, 2, 3]]


def labelled(*labels):
    rows = [parse_labels({"safety_level": level, "safety_type": kind})[0] for level, kind in labels]
    return Dataset.from_list([{"row": number, **row} for number, row in enumerate(rows)])


def test_a_row_of_some_risk_counts_as_risky_in_a_ratio():
    dataset = labelled(*[("none", "safe")] * 8, *[("risky", None)] * 2, (["none", "low"], None))
    mixed = mix_safety_dataset(dataset, clean_to_risky=1.0)
    assert sorted(row for row in mixed["row"] if row >= 8) == [8, 9, 10]
    assert len(mixed) == 5


def test_balancing_repeats_known_classes_and_leaves_the_others_as_they_are():
    dataset = labelled(*[("high", "privacy")] * 4, ("low", "fairness"), *[("risky", "politics")] * 2)
    levels = mix_safety_dataset(dataset, balance_by="safety_level")["safety_level"]
    assert [list(levels).count(level) for level in (3, 1, -100)] == [4, 4, 2]


def test_balancing_by_a_label_of_which_no_class_is_known_is_refused():
    with pytest.raises(ValueError, match="none of 2 rows is risky and has one known class in `safety_level`"):
        mix_safety_dataset(labelled(("risky", "politics"), ("none", "safe")), balance_by="safety_level")


def test_the_words_for_risk_cover_all_classes_but_the_harmless_one():
    labels, _ = parse_labels({"safety_level": RISK_LEVELS, "safety_type": RISK_TYPES})
    assert labels == parse_labels({"safety_level": "risky", "safety_type": "risky"})[0]
