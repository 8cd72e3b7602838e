"""A set's label map is data: printed as YAML, it can be edited and given back."""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from published_sets import WRITERS

from safe_llava.data import load_safety_dataset
from safe_llava.data.label_parsing import parse_labels
from safe_llava.data.sources import PUBLIC_SETS, describe
from safe_llava.models.safety_labels import SAFETY_TYPES


MAPPED = [name for name, public_set in PUBLIC_SETS.items() if public_set.categories]


@pytest.fixture
def write_map(tmp_path):
    """`write_map("vlguard", sex="privacy")`: the set's own map with categories changed, or left out by `None`."""

    def write(name: str, **changes: Any) -> Path:
        shown = yaml.safe_load(describe(PUBLIC_SETS[name]))
        entries = {**shown["categories"], **changes}
        shown["categories"] = {key: value for key, value in entries.items() if value is not None}
        path = tmp_path / "map.yaml"
        path.write_text(yaml.safe_dump(shown))
        return path

    return write


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_a_set_says_where_it_is_from_and_what_it_cannot_tell(name):
    shown = describe(PUBLIC_SETS[name])
    for fact in ("paper", "home", "Hub id", "licence", "splits", "files", "columns", "cannot tell"):
        assert re.search(rf"^# {fact}:", shown, re.MULTILINE)


@pytest.mark.parametrize("name", PUBLIC_SETS)
def test_every_category_becomes_types_of_ours_and_every_level_levels(name):
    for section, label in (("categories", "safety_type"), ("levels", "safety_level")):
        for ours in getattr(PUBLIC_SETS[name], section).values():
            assert parse_labels({label: ours})[1] == []


@pytest.mark.parametrize("name", MAPPED)
def test_what_is_shown_and_given_back_gives_the_same_rows(name, roots, tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text(describe(PUBLIC_SETS[name]))
    own, given = (load_safety_dataset(name, roots[name], label_map=label_map)[0] for label_map in (None, path))
    assert given.remove_columns("images").to_list() == own.remove_columns("images").to_list()


def test_an_edited_map_is_obeyed(roots, write_map):
    dataset, _ = load_safety_dataset(
        "vlguard", roots["vlguard"], label_map=write_map("vlguard", **{"personal data": "fairness"})
    )
    assert SAFETY_TYPES[dataset[0]["safety_type"]] == "fairness"


def test_a_category_may_be_declared_safe(roots, write_map):
    dataset, _ = load_safety_dataset(
        "vlguard", roots["vlguard"], label_map=write_map("vlguard", **{"personal data": "safe"})
    )
    assert (dataset[0]["safety_level"], dataset[0]["safety_type"]) == (0, 6)


def test_a_map_may_be_given_without_a_file(roots):
    shown = yaml.safe_load(describe(PUBLIC_SETS["safeatlas-vl"]))
    shown["levels"]["4"] = "medium"
    dataset, _ = load_safety_dataset("safeatlas-vl", roots["safeatlas-vl"], label_map=shown)
    assert dataset[2]["safety_level"] == 2


def test_a_category_that_nobody_mapped_makes_bad_rows_counted_once(copy_of):
    root = copy_of("beavertails-v")
    own = PUBLIC_SETS["beavertails-v"].categories
    path = root / "data/animal_abuse/train-00000-of-00001.parquet"
    rename_category(path, "New Harm")
    with pytest.raises(ValueError, match=r"2 of 6 rows .*\n  2 rows \(1, 2\), the first: .*category 'New Harm'"):
        load_safety_dataset("beavertails-v", root)
    label_map = {"categories": {**own, "new_harm": "privacy"}}
    dataset, _ = load_safety_dataset("beavertails-v", root, label_map=label_map)
    assert SAFETY_TYPES[dataset[0]["safety_type"]] == "privacy"


def rename_category(path: Path, name: str) -> None:
    table = pq.read_table(path)
    place = table.column_names.index("category")
    pq.write_table(table.set_column(place, "category", pa.array([name] * len(table))), path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sex": None}, "map.yaml: categories: 'sex' is not mapped"),
        ({"sex": "unfairness"}, "map.yaml: categories: 'sex': .*'unfairness' is neither"),
        ({"sex": []}, "map.yaml: categories: 'sex': .*empty list"),
        ({"sez": "fairness"}, "map.yaml: categories, 'sez': no row has this category"),
    ],
)
def test_a_wrong_map_is_refused_by_file_and_key(changes, message, roots, write_map):
    with pytest.raises(ValueError, match=message):
        load_safety_dataset("vlguard", roots["vlguard"], label_map=write_map("vlguard", **changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("categories: [", "is no YAML"),
        ("- privacy", "has 'categories', not no keys"),
        ("categories: {}\nlevels: {}", "has 'categories', not 'categories', 'levels'"),
        ("categories: privacy", "must name what is published"),
        ("categories:\n  sex: privacy\n  sex: fairness", "'sex' stands there twice"),
    ],
)
def test_what_is_no_map_is_refused_by_its_file(text, message, roots, tmp_path):
    path = tmp_path / "map.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=rf"map\.yaml.*{message}"):
        load_safety_dataset("vlguard", roots["vlguard"], label_map=path)


@pytest.mark.parametrize("name", sorted(WRITERS.keys() - {*MAPPED}))
def test_a_map_for_a_set_without_categories_has_no_effect_and_is_refused(name, roots):
    with pytest.raises(ValueError, match="`label_map` has no effect"):
        load_safety_dataset(name, roots[name], label_map={"categories": {}})
