"""An audit goes on with the source that it began with, or not at all; and no file of a source is passed over."""

import io
import json
import os
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset

from safe_llava.audit.source_state import digest_files, find_place
from safe_llava.audit.sources import SourceSpec


@pytest.fixture
def write_table(encoded):
    """`write_table(path, seeds)`: a table with an image of each seed."""

    def write(path, seeds, column="image"):
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(
            pa.table({"id": [str(seed) for seed in seeds], column: [encoded(seed) for seed in seeds]}), path
        )
        return path

    return write


@pytest.mark.parametrize("place", ["file", "folder", "wildcard"])
def test_a_table_that_is_another_now_is_refused(audit, write_table, tmp_path, place):
    path = write_table(tmp_path / "rows/a.parquet", [1, 2, 3])
    source = {"file": path, "folder": path.parent, "wildcard": path.parent / "*.parquet"}[place]
    audit(source)
    write_table(path, [3, 2, 1])
    with pytest.raises(ValueError, match="another state of the source's files"):
        audit(source)


def test_an_unchanged_table_is_gone_on_with(audit, write_table, tmp_path):
    path = write_table(tmp_path / "a.parquet", [1, 2, 3])
    assert audit(path).summary["rows"] == audit(path).summary["rows"] == 3


def test_other_tar_files_under_the_same_wildcard_are_refused(audit, tmp_path, encoded):
    def write(name):
        with tarfile.open(tmp_path / name, "w") as archive:
            member = tarfile.TarInfo("a.png")
            member.size = len(encoded(1))
            archive.addfile(member, io.BytesIO(encoded(1)))

    write("a.tar")
    audit(tmp_path / "*.tar")
    (tmp_path / "a.tar").rename(tmp_path / "b.tar")
    with pytest.raises(ValueError, match="another state of the source's files"):
        audit(tmp_path / "*.tar")


def test_the_same_name_in_another_folder_is_another_source(audit, image_folder, tmp_path, monkeypatch, make_image):
    for folder, seed in (("a", 1), ("b", 2)):
        (tmp_path / folder / "images").mkdir(parents=True)
        make_image(seed).save(tmp_path / folder / "images/1.png")
    monkeypatch.chdir(tmp_path / "a")
    audit("images")
    monkeypatch.chdir(tmp_path / "b")
    with pytest.raises(ValueError, match="another place of the source"):
        audit("images")


@pytest.mark.parametrize("source", ["org/images", "vlguard", "https://example.org/a.tar"])
def test_what_lies_nowhere_on_the_disk_is_the_same_from_every_folder(source, tmp_path, monkeypatch):
    found = set()
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        spec = SourceSpec(source)
        found.add((find_place(spec), digest_files(spec, tmp_path / "audit", tmp_path / "no-manifest")))
    assert len(found) == 1 and found.pop()[0] is None


def test_what_datasets_keeps_beside_saved_rows_is_no_part_of_them(audit, encoded, tmp_path):
    Dataset.from_dict({"image": [encoded(1)]}).save_to_disk(tmp_path / "saved")
    audit(tmp_path / "saved")
    (tmp_path / "saved/cache-0123456789abcdef.arrow").write_bytes(b"rows of a map")
    assert audit(tmp_path / "saved").summary["rows"] == 1


UNSEEN = {
    "a name of no split": (["train_a.parquet", "b.parquet"], "b.parquet"),
    "a folder of no split": (["data/train/a.parquet", "more/a.parquet"], "more/a.parquet"),
    "a hidden file": (["a.parquet", ".b.parquet"], ".b.parquet"),
}


@pytest.mark.parametrize(("names", "unseen"), UNSEEN.values(), ids=UNSEEN)
def test_a_table_that_no_split_takes_is_named(audit, write_table, tmp_path, names, unseen):
    for name in names:
        write_table(tmp_path / "rows" / name, [1, 2])
    with pytest.raises(ValueError, match="would not be seen") as caught:
        audit(tmp_path / "rows")
    assert unseen in str(caught.value)


def test_tables_of_other_splits_are_no_fault(audit, write_table, tmp_path):
    for split in ("train", "test"):
        write_table(tmp_path / f"rows/{split}.parquet", [1, 2])
    assert audit(tmp_path / "rows").summary["rows"] == 2


@pytest.mark.parametrize("suffix", ["parquet", "tar"])
def test_a_link_to_a_folder_is_named(audit, write_table, tmp_path, suffix):
    for folder in ("rows", "elsewhere"):
        path = write_table(tmp_path / folder / "a.parquet", [1, 2])
        if suffix == "tar":
            with tarfile.open(path.with_suffix(".tar"), "w"):
                pass
            path.unlink()
    (tmp_path / "rows/more").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="would not be seen") as caught:
        audit(tmp_path / "rows")
    assert "more" in str(caught.value)


def test_an_output_among_tables_is_refused_before_anything_is_written(audit_into, write_table, tmp_path):
    write_table(tmp_path / "rows/a.parquet", [1, 2])
    with pytest.raises(ValueError, match="choose an --output-dir outside"):
        audit_into(tmp_path / "rows/out", tmp_path / "rows")
    assert os.listdir(tmp_path / "rows") == ["a.parquet"]


def test_brackets_in_the_name_of_a_file_are_no_wildcard(audit, rows_by_key, write_table, tmp_path):
    write_table(tmp_path / "e[1].parquet", [1])
    write_table(tmp_path / "e1.parquet", [2])
    audit(tmp_path / "e[1].parquet", key_column="id")
    assert rows_by_key().keys() == {"1"}


def test_an_image_that_its_metadata_names_in_a_roundabout_way_is_one_row(audit, make_image, tmp_path):
    (tmp_path / "images/sub").mkdir(parents=True)
    make_image(1).save(tmp_path / "images/a.png")
    (tmp_path / "images/metadata.jsonl").write_text(json.dumps({"file_name": "sub/../a.png"}))
    assert audit(tmp_path / "images").summary["rows"] == 1


def test_an_empty_source_is_not_the_current_folder(audit, image_folder, monkeypatch):
    monkeypatch.chdir(image_folder)
    with pytest.raises(ValueError, match="empty text"):
        audit("")


def test_every_column_of_encoded_images_is_looked_at(audit, rows_by_key, encoded, tmp_path):
    table = pa.table({"image": [encoded(1), None], "image_2": [encoded(2), None], "photo": [None, encoded(3)]})
    pq.write_table(table, tmp_path / "rows.parquet")
    audit(tmp_path / "rows.parquet")
    assert [row["num_images"] for row in rows_by_key().values()] == [2, 1]


@pytest.mark.parametrize("option", [{"split": "nonsense"}, {"config_name": "foo"}], ids=str)
def test_what_tar_files_have_no_use_for_is_refused(audit, tmp_path, encoded, option):
    with tarfile.open(tmp_path / "a.tar", "w"):
        pass
    with pytest.raises(ValueError, match="would have no effect"):
        audit(tmp_path / "a.tar", **option)
