"""Every key of a set has an effect or is an error that names it."""

import pytest

from safe_llava.data.mix_entries import KEYS, MINIATURE, entry_names, load_entry, parse_entries


WRONG_KINDS = {**dict.fromkeys(KEYS, 3), "share": "half", "max_samples": 1.5}
NO_EFFECT = [
    *((MINIATURE, key) for key in ("root", "image_folder", "unlabelled", "label_map")),
    *(("rows.json", key) for key in ("split", "config_name")),
    *(("rows.csv", key) for key in ("split", "config_name")),
    *(("rows.parquet", key) for key in ("split", "config_name")),
    *(("rows.tar", key) for key in ("split", "config_name", "image_folder")),
]


def entry(name="rows.json", **more):
    return {"name": name, **({"max_samples": 5} if name == MINIATURE else {}), **more}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("vlguard", {"root": "r", "split": "s", "label_map": "m"}),
        ("org/set", {"split": "s", "config_name": "c", "unlabelled": "clean"}),
        ("rows.json", {"image_folder": "i", "unlabelled": "ignore"}),
    ],
)
def test_every_key_of_a_kind_of_set_can_be_given(name, options):
    (found,) = parse_entries([entry(name, **options, share=1, max_samples=2)])
    assert found.options == options


@pytest.mark.parametrize("key", KEYS)
def test_a_value_of_the_wrong_kind_names_its_key(key):
    with pytest.raises(ValueError, match=f"`{key}` of .* must be"):
        parse_entries([entry(**{key: WRONG_KINDS[key]})])


@pytest.mark.parametrize("key", [key for key in KEYS if key != "name"])
def test_a_number_is_not_given_as_true(key):
    with pytest.raises(ValueError, match=f"`{key}`"):
        parse_entries([entry(**{key: True})])


@pytest.mark.parametrize(("name", "key"), NO_EFFECT, ids=" ".join)
def test_a_key_without_effect_is_named(name, key):
    with pytest.raises(ValueError, match=rf"`{key}` of {name} has no effect"):
        parse_entries([entry(name, **{key: "x"})])


def test_an_unknown_key_is_named_with_those_that_are_known():
    with pytest.raises(ValueError, match=f"unknown key 'weight'; there are {', '.join(KEYS)}"):
        parse_entries([entry(), entry(weight=3)])


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([], "list of sets"),
        (None, "list of sets"),
        ("vlguard", "list of sets"),
        (["vlguard"], "list of sets"),
        ({"name": "vlguard"}, "list of sets"),
        ([{"share": 1.0}], "no `name`"),
        ([entry(), entry()], "stands there twice"),
        ([entry(), entry("b.json", share=0.5)], "rows.json has none"),
        ([entry(share=0.5), entry("b.json", share=0.4)], "sum to 1, not 0.9"),
        ([entry(share=0.0)], "above 0"),
        ([entry(share=1.5)], "at most 1"),
        ([entry(max_samples=0)], "1 or more"),
        ([{"name": MINIATURE}], "`max_samples`"),
    ],
)
def test_a_list_that_is_none_is_refused(values, said):
    with pytest.raises(ValueError, match=said):
        parse_entries(values)


def test_thirds_sum_to_one():
    assert len(parse_entries([entry(name, share=share) for name, share in zip("abc", (0.33333334,) * 3)])) == 3


def test_parts_of_one_set_are_told_apart():
    assert entry_names(parse_entries([entry("s", split="a"), entry("s", split="b"), entry("t")])) == [
        "s",
        "s (2)",
        "t",
    ]


def test_an_entry_is_loaded_with_its_options(write_lines, record, image_folder):
    path = write_lines(record(safe_level=..., safe_type=...))
    (found,) = parse_entries([entry(str(path), image_folder=str(image_folder), unlabelled="clean")])
    dataset, report = load_entry(found)
    assert (dataset[0]["safety_level"], dataset[0]["images"][0].size, report.num_rows) == (0, (64, 64), 1)
