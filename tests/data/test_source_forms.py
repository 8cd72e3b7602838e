"""What a source is, told by its name and by what lies there."""

import pytest

from safe_llava.data.source_forms import folder_of, form_of, has_configurations, has_splits, may_name_images


NAMES = {
    "json": ["a.json", "a.jsonl", "A.JSON", "a.json.gz", "a.jsonl.gz"],
    "csv": ["a.csv", "a.tsv", "a.csv.gz", "A.TSV"],
    "parquet": ["a.parquet", "part-*.parquet"],
    "arrow": ["a.arrow"],
    "tars": ["a.tar", "a.tar.gz", "a.tgz", "shards/*.tar", "hf://datasets/org/name/{00..09}.tar"],
    "hub": ["org/name", "name", "org/name.v2", "miniature"],
}


@pytest.mark.parametrize(("form", "name"), [(form, name) for form, names in NAMES.items() for name in names])
def test_a_source_that_is_not_here_is_told_by_its_name(form, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert form_of(name) == form


def test_what_is_here_is_told_by_what_it_is(tmp_path, make_image):
    make_image(0).save(tmp_path / "a.png")
    (tmp_path / "notes.txt").write_text("Hello")
    for name in ("rows.parquet", "saved", "splits"):
        (tmp_path / name).mkdir()
    (tmp_path / "saved" / "state.json").write_text("{}")
    (tmp_path / "splits" / "dataset_dict.json").write_text("{}")
    names = ("a.png", "notes.txt", "rows.parquet", "saved", "splits")
    assert [form_of(tmp_path / name) for name in names] == ["image", "file", "folder", "saved", "saved splits"]


def test_names_of_images_start_from_where_a_source_lies(tmp_path):
    assert (folder_of(tmp_path), folder_of(tmp_path / "a.csv"), folder_of("org/name")) == (tmp_path, tmp_path, None)


def test_each_form_has_what_its_options_are_for(tmp_path):
    sources = ["a.json", "a.csv", "a.parquet", "a.arrow", "a.tar", tmp_path, "org/name"]
    assert [source for source in sources if has_splits(source)] == [tmp_path, "org/name"]
    assert [source for source in sources if has_configurations(source)] == [tmp_path, "org/name"]
    assert [source for source in sources if not may_name_images(source)] == ["a.tar"]
